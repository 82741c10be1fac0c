// The statistics of quire bench, on records made by hand.
#include "client/bench/metrics.h"

#include <cmath>
#include <vector>

#include "client/bench/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::bench {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// Arrives and is sent at `arrival_s`; its tokens come one by one at `token_times_s`; ends with the
// last.
RequestRecord Record(double arrival_s, const std::vector<double>& token_times_s) {
  RequestRecord record;
  record.arrival_s = record.sent_s = record.end_s = arrival_s;
  record.input_tokens = 10;
  for (double time_s : token_times_s) {
    record.AddTokens(1, time_s);
    record.end_s = time_s;
  }
  return record;
}

RequestRecord Failed(double arrival_s, double end_s, const absl::Status& status) {
  RequestRecord record;
  record.arrival_s = record.sent_s = arrival_s;
  record.end_s = end_s;
  record.status = status;
  return record;
}

TEST(RequestRecord, ADeltaOfSeveralTokensPutsTheGapOnItsFirst) {
  RequestRecord record;
  record.AddTokens(1, 1.0);
  record.AddTokens(3, 1.5);
  record.AddTokens(0, 1.6);  // text without a token moves nothing
  record.AddTokens(2, 2.0);
  EXPECT_THAT(record.itls_s, ElementsAre(0.5, 0, 0, 0.5, 0));
  EXPECT_EQ(record.output_tokens, 6);
  EXPECT_EQ(record.first_token_s, 1.0);
}

TEST(RequestRecord, TheTokensThatComeWithTheFirstHaveGap0) {
  RequestRecord record;
  record.AddTokens(3, 1.0);
  EXPECT_THAT(record.itls_s, ElementsAre(0, 0));
}

TEST(RequestRecord, TpotLeavesTheFirstTokenOut) {
  const RequestRecord record = Record(1.0, {3.0, 3.5, 4.5});
  EXPECT_DOUBLE_EQ(record.ttft_s(), 2.0);
  EXPECT_DOUBLE_EQ(record.tpot_s(), 0.75);
  EXPECT_DOUBLE_EQ(record.e2el_s(), 3.5);
  EXPECT_EQ(Record(1.0, {3.0}).tpot_s(), 0);
}

TEST(Percentile, InterpolatesBetweenRanks) {
  const std::vector<double> sorted = {1, 2, 3, 4};
  EXPECT_DOUBLE_EQ(Percentile(sorted, 0), 1);
  EXPECT_DOUBLE_EQ(Percentile(sorted, 50), 2.5);
  EXPECT_DOUBLE_EQ(Percentile(sorted, 90), 3.7);
  EXPECT_DOUBLE_EQ(Percentile(sorted, 99), 3.97);
  EXPECT_DOUBLE_EQ(Percentile(sorted, 100), 4);
  EXPECT_DOUBLE_EQ(Percentile(std::vector<double>{5}, 99), 5);
}

TEST(Describe, TakesThePopulationsDeviationAndAnyOrder) {
  const Distribution result = Describe({9, 2, 4, 4, 4, 5, 5, 7}, {25, 75});
  EXPECT_DOUBLE_EQ(result.mean, 5);
  EXPECT_DOUBLE_EQ(result.median, 4.5);
  EXPECT_DOUBLE_EQ(result.std, 2);
  EXPECT_THAT(result.percentiles, ElementsAre(DoubleEq(4), DoubleEq(5.5)));
}

TEST(Describe, OfNothingIs0) {
  const Distribution result = Describe({}, {99});
  EXPECT_EQ(result.mean, 0);
  EXPECT_EQ(result.std, 0);
  EXPECT_THAT(result.percentiles, ElementsAre(0));
}

TEST(Measure, CountsAndRatesOverTheSpanOfTheRun) {
  const Metrics metrics =
      Measure({Record(0.0, {1.0, 1.5, 2.0}), Record(1.0, {3.0, 4.0})}, {}, {99});
  EXPECT_EQ(metrics.completed, 2);
  EXPECT_EQ(metrics.failed, 0);
  EXPECT_DOUBLE_EQ(metrics.duration_s, 4.0);
  EXPECT_EQ(metrics.total_input_tokens, 20);
  EXPECT_EQ(metrics.total_output_tokens, 5);
  EXPECT_DOUBLE_EQ(metrics.request_throughput, 0.5);
  EXPECT_DOUBLE_EQ(metrics.output_throughput, 1.25);
  EXPECT_DOUBLE_EQ(metrics.total_token_throughput, 6.25);
  EXPECT_FALSE(metrics.request_goodput.has_value());
  EXPECT_DOUBLE_EQ(metrics.ttft_ms.mean, 1500);
  EXPECT_DOUBLE_EQ(metrics.tpot_ms.mean, 750);        // 500 and 1000, whatever the lengths
  EXPECT_DOUBLE_EQ(metrics.itl_ms.mean, 2000.0 / 3);  // 500, 500, 1000
  EXPECT_DOUBLE_EQ(metrics.e2el_ms.mean, 2500);
}

TEST(Measure, ARequestOfOneTokenHasNoTpot) {
  const Metrics metrics = Measure({Record(0, {1.0}), Record(0, {1.0, 1.2})}, {}, {});
  EXPECT_NEAR(metrics.tpot_ms.mean, 200, 1e-9);
}

TEST(Measure, ARequestWithoutTokensHasNoTtft) {
  const Metrics metrics = Measure({Record(0, {}), Record(0, {1.0})}, {}, {});
  EXPECT_EQ(metrics.completed, 2);
  EXPECT_DOUBLE_EQ(metrics.ttft_ms.mean, 1000);
}

TEST(Measure, FailedRequestsCountByStatusAndNowhereElse) {
  const std::vector<RequestRecord> records = {Record(0, {1.0, 2.0}),
                                              Failed(0, 0.1, absl::ResourceExhaustedError("full")),
                                              Failed(1, 1.1, absl::ResourceExhaustedError("full")),
                                              Failed(1, 4.0, absl::DeadlineExceededError("late"))};
  const Metrics metrics = Measure(records, {}, {});
  EXPECT_EQ(metrics.completed, 1);
  EXPECT_EQ(metrics.failed, 3);
  EXPECT_THAT(metrics.failed_by_status,
              ElementsAre(Pair("DEADLINE_EXCEEDED", 1), Pair("RESOURCE_EXHAUSTED", 2)));
  EXPECT_EQ(metrics.total_output_tokens, 2);
  EXPECT_DOUBLE_EQ(metrics.e2el_ms.mean, 2000);
  EXPECT_DOUBLE_EQ(metrics.duration_s, 4.0);
}

TEST(Measure, OfNothingIs0) {
  const Metrics metrics = Measure({}, {}, {99});
  EXPECT_EQ(metrics.completed, 0);
  EXPECT_EQ(metrics.output_throughput, 0);
}

TEST(Measure, PeaksAreOfASecondAndOfAMoment) {
  // Seconds since the first arrival: [0, 1) has 1 token, [1, 2) has 4, [2, 3) has 1.
  const Metrics metrics = Measure(
      {Record(10.0, {10.5, 11.1, 11.2}), Record(10.0, {11.3, 11.9}), Record(11.9, {12.5})}, {}, {});
  EXPECT_EQ(metrics.max_output_tokens_per_s, 4);
  // The second ends as the third starts: never three.
  EXPECT_EQ(metrics.max_concurrent_requests, 2);
}

TEST(Measure, LatenciesCountFromTheIntendedArrival) {
  RequestRecord late = Record(0.0, {3.0});
  late.sent_s = 2.5;
  const Metrics metrics = Measure({late}, {}, {});
  EXPECT_DOUBLE_EQ(metrics.ttft_ms.mean, 3000);
  EXPECT_DOUBLE_EQ(metrics.e2el_ms.mean, 3000);
}

TEST(Goodput, CountsRequestsThatKeepEveryLimit) {
  const std::vector<RequestRecord> records = {
      Record(0, {0.1, 0.15}),                         // TTFT 100, TPOT 50
      Record(0, {0.3, 0.35}),                         // TTFT 300
      Record(0, {0.1, 0.3}),                          // TPOT 200
      Record(0, {0.1}),                               // TPOT counts as 0
      Failed(0, 1.0, absl::UnavailableError("gone"))  // never good
  };
  const auto limits = ParseGoodput({"ttft:200", "tpot:60"});
  ASSERT_TRUE(limits.ok()) << limits.status();
  const Metrics metrics = Measure(records, *limits, {});
  ASSERT_TRUE(metrics.request_goodput.has_value());
  EXPECT_DOUBLE_EQ(*metrics.request_goodput, 2.0);  // 2 in the one second
}

TEST(Goodput, ABadLimitIsRefusedAndNamed) {
  for (const char* bad : {"ttft", "ttft:", "ttft:fast", "itl:5", "e2el:-1", "tpot:nan"}) {
    const auto limits = ParseGoodput({bad});
    ASSERT_FALSE(limits.ok()) << bad;
    EXPECT_THAT(std::string(limits.status().message()), HasSubstr(bad));
  }
}

TEST(Report, TheBlockIsThatOfVllmBenchServe) {
  const std::vector<RequestRecord> records = {Record(0.0, {1.0, 1.5, 2.0}),
                                              Failed(0, 1, absl::UnavailableError("gone"))};
  const RunDescription run = {.requests_per_s = 2, .max_concurrency = 8, .percentiles = {99, 99.9}};
  const auto limits = ParseGoodput({"ttft:2000"});
  EXPECT_EQ(ReportBlock(run, Measure(records, *limits, run.percentiles)),
            R"(============ Serving Benchmark Result ============
Successful requests:                     1
Failed requests:                         1
  UNAVAILABLE:                           1
Maximum request concurrency:             8
Request rate configured (RPS):           2.00
Benchmark duration (s):                  2.00
Total input tokens:                      10
Total generated tokens:                  3
Request throughput (req/s):              0.50
Request goodput (req/s):                 0.50
Output token throughput (tok/s):         1.50
Peak output token throughput (tok/s):    2.00
Peak concurrent requests:                2.00
Total token throughput (tok/s):          6.50
---------------Time to First Token----------------
Mean TTFT (ms):                          1000.00
Median TTFT (ms):                        1000.00
P99 TTFT (ms):                           1000.00
P99.9 TTFT (ms):                         1000.00
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          500.00
Median TPOT (ms):                        500.00
P99 TPOT (ms):                           500.00
P99.9 TPOT (ms):                         500.00
---------------Inter-token Latency----------------
Mean ITL (ms):                           500.00
Median ITL (ms):                         500.00
P99 ITL (ms):                            500.00
P99.9 ITL (ms):                          500.00
----------------End-to-end Latency----------------
Mean E2EL (ms):                          2000.00
Median E2EL (ms):                        2000.00
P99 E2EL (ms):                           2000.00
P99.9 E2EL (ms):                         2000.00
==================================================
)");
}

TEST(Report, TheJsonKeysAreThoseOfVllmBenchServe) {
  const std::vector<RequestRecord> records = {Record(0.0, {1.0, 1.5}),
                                              Failed(0, 1, absl::UnavailableError("gone"))};
  const RunDescription run = {.num_prompts = 2, .percentiles = {50, 99.9}};
  const Metrics metrics = Measure(records, {}, run.percentiles);
  const auto brief = ReportJson(run, metrics, records, /*detailed=*/false);
  for (const char* key : {"date",
                          "backend",
                          "model_id",
                          "num_prompts",
                          "burstiness",
                          "duration",
                          "completed",
                          "failed",
                          "total_input_tokens",
                          "total_output_tokens",
                          "request_throughput",
                          "output_throughput",
                          "total_token_throughput",
                          "max_output_tokens_per_s",
                          "max_concurrent_requests",
                          "mean_ttft_ms",
                          "median_tpot_ms",
                          "std_itl_ms",
                          "p50_e2el_ms",
                          "p99.9_ttft_ms"}) {
    EXPECT_TRUE(brief.contains(key)) << key;
  }
  EXPECT_FALSE(brief.contains("ttfts"));
  EXPECT_EQ(brief["request_rate"], "inf");
  EXPECT_TRUE(brief["max_concurrency"].is_null());
  EXPECT_TRUE(brief["request_goodput"].is_null());

  const auto detailed = ReportJson(run, metrics, records, /*detailed=*/true);
  EXPECT_THAT(detailed["output_lens"], ElementsAre(2, 0));
  EXPECT_THAT(detailed["itls"][0], ElementsAre(0.5));
  EXPECT_THAT(detailed["errors"], ElementsAre("", "UNAVAILABLE: gone"));
  EXPECT_EQ(detailed["ttfts"].size(), 2);
  EXPECT_EQ(detailed["input_lens"].size(), 2);
}

}  // namespace
}  // namespace quire::bench
