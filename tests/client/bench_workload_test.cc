// What quire bench sends, and when.
#include "client/bench/workload.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/bench/arrivals.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr RandomWorkload kWorkload = {.num_prompts = 200,
                                      .vocab_size = 50,
                                      .prefix_len = 5,
                                      .input_len = 20,
                                      .output_len = 10,
                                      .range_ratio = 0.5,
                                      .seed = 3};

std::string Bytes(const std::vector<v1::GenerateRequest>& requests) {
  std::string all;
  for (const auto& request : requests) all += request.ShortDebugString();
  return all;
}

// A file that is gone with the test.
class TempFile {
 public:
  TempFile(const std::string& name, const std::string& text)
      : path_(absl::StrCat(::testing::TempDir(), "/", getpid(), "-", name)) {
    std::ofstream(path_) << text;
  }
  ~TempFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

TEST(RandomWorkload, TheSameSeedGivesTheSameRequests) {
  RandomWorkload other = kWorkload;
  other.seed = 4;
  EXPECT_EQ(Bytes(MakeRandomWorkload(kWorkload, {})), Bytes(MakeRandomWorkload(kWorkload, {})));
  EXPECT_NE(Bytes(MakeRandomWorkload(kWorkload, {})), Bytes(MakeRandomWorkload(other, {})));
}

TEST(RandomWorkload, LengthsAndTokensStayInRangeAndReachItsEnds) {
  const auto requests = MakeRandomWorkload(kWorkload, {});
  ASSERT_EQ(requests.size(), 200);
  int shortest = 1000;
  int longest = 0;
  uint32_t highest_token = 0;
  for (const auto& request : requests) {
    const int input = request.token_ids().ids_size() - 5;
    shortest = std::min(shortest, input);
    longest = std::max(longest, input);
    for (uint32_t id : request.token_ids().ids()) highest_token = std::max(highest_token, id);
    EXPECT_GE(request.stopping().max_new_tokens(), 5);
    EXPECT_LE(request.stopping().max_new_tokens(), 15);
  }
  EXPECT_EQ(shortest, 10);
  EXPECT_EQ(longest, 30);
  EXPECT_EQ(highest_token, 49);
  EXPECT_EQ(LongestRequest(kWorkload), 5 + 30 + 15);
}

TEST(RandomWorkload, EveryPromptStartsWithThePrefix) {
  const auto requests = MakeRandomWorkload(kWorkload, {});
  const auto& first = requests.front().token_ids().ids();
  for (const auto& request : requests) {
    EXPECT_TRUE(std::equal(first.begin(), first.begin() + 5, request.token_ids().ids().begin()));
  }
  EXPECT_NE(requests[0].token_ids().ids(5), requests[1].token_ids().ids(5));
}

TEST(RandomWorkload, WhatIsCommonReachesEveryRequest) {
  for (const auto& request : MakeRandomWorkload(kWorkload, {.ignore_eos = true})) {
    EXPECT_TRUE(request.stopping().ignore_eos());
  }
}

TEST(RandomWorkload, ALengthIsAtLeast1) {
  RandomWorkload tiny = kWorkload;
  tiny.input_len = tiny.output_len = 1;
  tiny.range_ratio = 0.99;
  for (const auto& request : MakeRandomWorkload(tiny, {})) {
    EXPECT_EQ(request.token_ids().ids_size(), 6);
    EXPECT_EQ(request.stopping().max_new_tokens(), 1);
  }
}

TEST(Dataset, ATextFileHasAPromptInEachLine) {
  const TempFile file("prompts.txt", "one\n\ntwo\n");
  const auto requests = ReadDataset(file.path(), 0, 16, {});
  ASSERT_TRUE(requests.ok()) << requests.status();
  ASSERT_EQ(requests->size(), 2);
  EXPECT_EQ((*requests)[1].text(), "two");
  EXPECT_EQ((*requests)[1].stopping().max_new_tokens(), 16);
}

TEST(Dataset, AJsonlFileHasTextOrTokenIdsAndMaybeALength) {
  const TempFile file("prompts.jsonl",
                      "{\"prompt\": \"one\", \"max_tokens\": 5}\n{\"token_ids\": [1, 2, 3]}\n");
  const auto requests = ReadDataset(file.path(), 0, 16, {});
  ASSERT_TRUE(requests.ok()) << requests.status();
  ASSERT_EQ(requests->size(), 2);
  EXPECT_EQ((*requests)[0].text(), "one");
  EXPECT_EQ((*requests)[0].stopping().max_new_tokens(), 5);
  EXPECT_THAT((*requests)[1].token_ids().ids(), ElementsAre(1, 2, 3));
  EXPECT_EQ((*requests)[1].stopping().max_new_tokens(), 16);
}

TEST(Dataset, IsCutOrBegunAgainForTheNumberAskedFor) {
  const TempFile file("prompts.txt", "a\nb\nc\n");
  EXPECT_EQ(ReadDataset(file.path(), 2, 16, {})->size(), 2);
  const auto requests = ReadDataset(file.path(), 5, 16, {});
  ASSERT_EQ(requests->size(), 5);
  EXPECT_EQ((*requests)[3].text(), "a");
  EXPECT_EQ((*requests)[4].text(), "b");
}

TEST(Dataset, ABadLineIsNamed) {
  const char* const kBad[] = {"{",
                              "[]",
                              "{\"text\": \"one\"}",
                              "{\"token_ids\": [1, -2]}",
                              "{\"token_ids\": [1.5]}",
                              "{\"prompt\": \"one\", \"max_tokens\": \"many\"}"};
  for (const char* bad : kBad) {
    const TempFile file("prompts.jsonl", absl::StrCat("{\"prompt\": \"one\"}\n", bad, "\n"));
    const auto requests = ReadDataset(file.path(), 0, 16, {});
    ASSERT_FALSE(requests.ok()) << bad;
    EXPECT_THAT(std::string(requests.status().message()), HasSubstr(file.path() + ":2: "));
  }
  EXPECT_TRUE(absl::IsNotFound(ReadDataset("/no/such/file", 0, 16, {}).status()));
}

// Mean and coefficient of variation of the gaps.
std::pair<double, double> GapStatistics(const std::vector<double>& times_s) {
  double sum = 0;
  double squares = 0;
  for (size_t i = 1; i < times_s.size(); ++i) {
    const double gap = times_s[i] - times_s[i - 1];
    sum += gap;
    squares += gap * gap;
  }
  const auto count = static_cast<double>(times_s.size() - 1);
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean) / mean};
}

TEST(Arrivals, KeepTheRateWhateverTheSeed) {
  for (uint64_t seed : {1, 2, 3}) {
    const auto times_s = ArrivalTimes(101, 20, 1, seed);
    EXPECT_EQ(times_s.front(), 0);
    EXPECT_NEAR(times_s.back(), 5.0, 1e-9);
    EXPECT_TRUE(std::is_sorted(times_s.begin(), times_s.end()));
  }
}

TEST(Arrivals, BurstinessIsTheGammaShapeOfTheGaps) {
  // A gamma distribution's coefficient of variation is 1 / sqrt(shape).
  EXPECT_NEAR(GapStatistics(ArrivalTimes(20'000, 10, 1, 5)).second, 1.0, 0.05);
  EXPECT_NEAR(GapStatistics(ArrivalTimes(20'000, 10, 0.25, 5)).second, 2.0, 0.1);
  EXPECT_NEAR(GapStatistics(ArrivalTimes(20'000, 10, 4, 5)).second, 0.5, 0.05);
}

TEST(Arrivals, InfiniteBurstinessIsAConstantGap) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto times_s = ArrivalTimes(5, 4, infinity, 1);
  EXPECT_THAT(times_s, ElementsAre(0, 0.25, 0.5, 0.75, 1.0));
}

TEST(Arrivals, OneRequestArrivesAtOnce) { EXPECT_THAT(ArrivalTimes(1, 4, 1, 1), ElementsAre(0)); }

}  // namespace
}  // namespace quire::bench
