// The pieces of the command line that need no server.
#include <limits>
#include <string>

#include "client/call_status.h"
#include "client/cli/error_line.h"
#include "client/cli/format.h"
#include "client/cli/generate_output.h"
#include "client/cli/json.h"
#include "client/cli/text_input.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Json, AFloatIsItsShortestDecimal) {
  v1::TokenLogprob logprob;
  logprob.set_token_id(3);
  logprob.set_logprob(-0.1F);
  EXPECT_EQ(Dump(ToJson(logprob)), R"({"token_id":3,"logprob":-0.1})");
}

TEST(Json, AnInfiniteFloatIsNull) {
  v1::TokenLogprob logprob;
  logprob.set_logprob(-std::numeric_limits<float>::infinity());
  EXPECT_EQ(Dump(ToJson(logprob)), R"({"token_id":0,"logprob":null})");
}

TEST(Json, A64BitIntegerIsANumber) {
  v1::Started started;
  started.set_seed(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(ToJson(started)["seed"].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
}

TEST(Json, UnsetFieldsAreLeftOutWhereTheyCanBeUnset) {
  v1::Stopping stopping;
  EXPECT_FALSE(ToJson(stopping).contains("max_new_tokens"));
  EXPECT_FALSE(ToJson(stopping).contains("time_limit_s"));
  EXPECT_EQ(ToJson(stopping)["min_new_tokens"], 0);
  EXPECT_TRUE(ToJson(stopping)["stop_strings"].is_array());
  stopping.set_max_new_tokens(0);
  EXPECT_EQ(ToJson(stopping)["max_new_tokens"], 0);
}

TEST(Json, ADurationIsSecondsAndItsKeySaysSo) {
  v1::Timings timings;
  timings.mutable_total()->set_seconds(1);
  timings.mutable_total()->set_nanos(500'000'000);
  EXPECT_EQ(Dump(ToJson(timings)), R"({"total_s":1.5})");
}

TEST(Json, AnEnumIsItsNameWithoutThePrefix) {
  v1::Finished finished;
  finished.set_finish_reason(v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(ToJson(finished)["finish_reason"], "STOP_STRING");
  EXPECT_EQ(Name(v1::FINISH_REASON_EOS), "EOS");
  EXPECT_EQ(Name(static_cast<v1::FinishReason>(99)), "99");
}

TEST(Json, TextThatIsNotUtf8IsReplacedNotThrown) {
  EXPECT_EQ(Dump(Json("a\xff")), "\"a\xEF\xBF\xBD\"");
}

TEST(ErrorLine, IsOneLine) {
  EXPECT_EQ(ErrorLine(absl::InvalidArgumentError("top_p is 2;\r\nthe range is 0 to 1")),
            "INVALID_ARGUMENT: top_p is 2; the range is 0 to 1");
}

TEST(TokenIds, AreReadAsTheyArePrinted) {
  EXPECT_THAT(*ParseTokenIds("1,2, 3 4294967295"), ElementsAre(1, 2, 3, 4294967295));
  EXPECT_EQ(FormatTokenIds({1, 2, 3}), "1,2,3");
  for (const char* bad : {"", ",", "1,-2", "1;2", "4294967296", "1.5"}) {
    EXPECT_FALSE(ParseTokenIds(bad).ok()) << bad;
  }
}

TEST(Format, PicksTheUnit) {
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(FormatCount(950), "950");
  EXPECT_EQ(FormatCount(7'600'000'000), "7.6 B");
  google::protobuf::Duration uptime;
  uptime.set_seconds(59);
  EXPECT_EQ(FormatUptime(uptime), "59s");
  uptime.set_seconds(2 * 86400 + 4 * 3600);
  EXPECT_EQ(FormatUptime(uptime), "2d4h");
}

TEST(SummaryLine, CountsTheTokensThatCame) {
  v1::GenerateResponse response;
  response.set_seed(7);
  response.mutable_usage()->set_prompt_tokens(16);
  response.mutable_usage()->set_cached_prompt_tokens(8);
  for (int i = 0; i < 4; ++i) response.add_sequences()->add_token_ids(i);
  response.mutable_sequences(0)->set_finish_reason(v1::FINISH_REASON_EOS);
  const CallTimes times = {.first_token = absl::Milliseconds(125), .total = absl::Seconds(2)};
  EXPECT_EQ(SummaryLine(response, times),
            "4 tokens in 2.00 s (2.0 tok/s), TTFT 0.125 s, 1 EOS, 3 not finished; prompt 16 tokens "
            "(8 cached), seed 7");
  EXPECT_THAT(SummaryLine({}, {}), HasSubstr("0 tokens in 0.00 s, not finished"));
}

}  // namespace
}  // namespace quire::cli
