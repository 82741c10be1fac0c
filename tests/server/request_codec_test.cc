// Every limit of a request is enforced with an error that names field, value and limit.
#include "server/request_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/limits.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kVocab = 100;

struct BadField {
  const char* name;
  std::function<void(v1::GenerateRequest&)> change;
  absl::StatusCode code;
  std::vector<std::string> message_has;  // field, value, limit
};

// A limit is tried one past its end; OnTheLimit tries the end itself.
const std::vector<BadField>& BadFields() {
  using Wire = v1::GenerateRequest;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
  static const auto& fields = *new std::vector<BadField>{
      {"request_id",
       [](Wire& w) { w.set_request_id(std::string(257, 'a')); },
       kInvalid,
       {"request_id", "257", "256"}},
      {"tenant",
       [](Wire& w) { w.set_tenant(std::string(257, 'a')); },
       kInvalid,
       {"tenant", "257", "256"}},
      {"cache_salt",
       [](Wire& w) { w.set_cache_salt(std::string(257, 'a')); },
       kInvalid,
       {"cache_salt", "257", "256"}},
      {"no_prompt", [](Wire& w) { w.clear_prompt(); }, kInvalid, {"prompt", "not set"}},
      {"empty_ids",
       [](Wire& w) { w.mutable_token_ids()->clear_ids(); },
       kInvalid,
       {"prompt", "empty", "0 tokens"}},
      {"token_id",
       [](Wire& w) { w.mutable_token_ids()->add_ids(kVocab); },
       kInvalid,
       {"token_ids", "100", "99"}},
      {"text_without_tokenizer",
       [](Wire& w) { w.set_text("a"); },
       kPrecondition,
       {"tokenizer.json", "token_ids"}},
      {"chat_without_tokenizer",
       [](Wire& w) { w.mutable_chat(); },
       kPrecondition,
       {"tokenizer.json"}},
      {"constraint", [](Wire& w) { w.mutable_choice(); }, kPrecondition, {"constraint"}},
      {"no_sequences",
       [](Wire& w) { w.set_num_sequences(0); },
       kInvalid,
       {"num_sequences", "0", "32"}},
      {"sequences",
       [](Wire& w) { w.set_num_sequences(33); },
       kInvalid,
       {"num_sequences", "33", "32"}},
      {"negative_temperature",
       [](Wire& w) { w.mutable_sampling()->set_temperature(-0.5F); },
       kInvalid,
       {"sampling.temperature", "-0.5", "0 to 100"}},
      {"temperature_nan",
       [](Wire& w) { w.mutable_sampling()->set_temperature(kNan); },
       kInvalid,
       {"sampling.temperature", "nan", "0 to 100"}},
      {"temperature_inf",
       [](Wire& w) { w.mutable_sampling()->set_temperature(kInfinity); },
       kInvalid,
       {"sampling.temperature", "inf", "0 to 100"}},
      {"top_k",
       [](Wire& w) { w.mutable_sampling()->set_top_k(1U << 31); },
       kInvalid,
       {"sampling.top_k", "2147483648", "2147483647"}},
      {"top_p_0",
       [](Wire& w) { w.mutable_sampling()->set_top_p(0); },
       kInvalid,
       {"sampling.top_p", "is 0", "above 0, to 1"}},
      {"top_p",
       [](Wire& w) { w.mutable_sampling()->set_top_p(1.5F); },
       kInvalid,
       {"sampling.top_p", "1.5", "to 1"}},
      {"top_p_nan",
       [](Wire& w) { w.mutable_sampling()->set_top_p(kNan); },
       kInvalid,
       {"sampling.top_p", "nan", "to 1"}},
      {"min_p",
       [](Wire& w) { w.mutable_sampling()->set_min_p(1.25F); },
       kInvalid,
       {"sampling.min_p", "1.25", "0 to 1"}},
      {"min_p_nan",
       [](Wire& w) { w.mutable_sampling()->set_min_p(kNan); },
       kInvalid,
       {"sampling.min_p", "nan", "0 to 1"}},
      {"repetition_penalty",
       [](Wire& w) { w.mutable_sampling()->set_repetition_penalty(0); },
       kInvalid,
       {"sampling.repetition_penalty", "is 0", "0.01 to 100"}},
      {"repetition_inf",
       [](Wire& w) { w.mutable_sampling()->set_repetition_penalty(kInfinity); },
       kInvalid,
       {"sampling.repetition_penalty", "inf", "100"}},
      {"presence_penalty",
       [](Wire& w) { w.mutable_sampling()->set_presence_penalty(-101); },
       kInvalid,
       {"sampling.presence_penalty", "-101", "-100 to 100"}},
      {"frequency_penalty",
       [](Wire& w) { w.mutable_sampling()->set_frequency_penalty(kNan); },
       kInvalid,
       {"sampling.frequency_penalty", "nan", "-100 to 100"}},
      {"bias_entries",
       [](Wire& w) {
         for (uint32_t id = 0; id < 1025; ++id)
           (*w.mutable_sampling()->mutable_logit_bias())[id] = 1;
       },
       kInvalid,
       {"sampling.logit_bias", "1025", "1024"}},
      {"bias_id",
       [](Wire& w) { (*w.mutable_sampling()->mutable_logit_bias())[kVocab] = 1; },
       kInvalid,
       {"sampling.logit_bias", "100"}},
      {"bias_value",
       [](Wire& w) { (*w.mutable_sampling()->mutable_logit_bias())[7] = -kInfinity; },
       kInvalid,
       {"sampling.logit_bias[7]", "-inf", "-1000 to 1000"}},
      {"min_new_tokens",
       [](Wire& w) {
         w.mutable_stopping()->set_max_new_tokens(4);
         w.mutable_stopping()->set_min_new_tokens(5);
       },
       kInvalid,
       {"stopping.min_new_tokens", "5", "max_new_tokens, 4"}},
      {"stop_strings",
       [](Wire& w) {
         for (int i = 0; i < 17; ++i) w.mutable_stopping()->add_stop_strings(std::string(1, 'a'));
       },
       kInvalid,
       {"stopping.stop_strings", "17", "16"}},
      {"stop_string",
       [](Wire& w) { w.mutable_stopping()->add_stop_strings(std::string(257, 'a')); },
       kInvalid,
       {"stopping.stop_strings", "257", "256"}},
      {"empty_stop_string",
       [](Wire& w) { w.mutable_stopping()->add_stop_strings(std::string()); },
       kInvalid,
       {"stopping.stop_strings", "0 bytes", "1 to 256"}},
      {"stop_ids",
       [](Wire& w) {
         for (int i = 0; i < 65; ++i) w.mutable_stopping()->add_stop_token_ids(1);
       },
       kInvalid,
       {"stopping.stop_token_ids", "65", "64"}},
      {"stop_id",
       [](Wire& w) { w.mutable_stopping()->add_stop_token_ids(kVocab); },
       kInvalid,
       {"stopping.stop_token_ids", "100", "99"}},
      {"time_limit",
       [](Wire& w) { w.mutable_stopping()->mutable_time_limit(); },
       kInvalid,
       {"stopping.time_limit", "0", "above 0"}},
      {"top_logprobs",
       [](Wire& w) { w.mutable_response()->set_top_logprobs(21); },
       kInvalid,
       {"response.top_logprobs", "21", "20"}},
  };
  return fields;
}

v1::GenerateRequest GoodRequest() {
  v1::GenerateRequest wire;
  wire.mutable_token_ids()->add_ids(0);
  wire.mutable_token_ids()->add_ids(kVocab - 1);
  return wire;
}

absl::StatusOr<DecodedRequest> Decode(const v1::GenerateRequest& wire) {
  static const ModelConfig* model = [] {
    auto* config = new ModelConfig();
    config->vocab_size = kVocab;
    config->eos_token_ids = {3};
    return config;
  }();
  return DecodeRequest(wire, {.model = model}, absl::InfiniteFuture());
}

class RequestCodecTest : public testing::TestWithParam<BadField> {};

TEST_P(RequestCodecTest, WhatIsOutOfItsRangeIsNamedWithValueAndLimit) {
  v1::GenerateRequest wire = GoodRequest();
  GetParam().change(wire);
  const auto decoded = Decode(wire);
  EXPECT_EQ(decoded.status().code(), GetParam().code) << decoded.status();
  for (const std::string& part : GetParam().message_has) {
    EXPECT_THAT(std::string(decoded.status().message()), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(Fields, RequestCodecTest, testing::ValuesIn(BadFields()),
                         [](const auto& info) { return info.param.name; });

TEST(RequestCodecTest, TheLimitsThemselvesAreAllowed) {
  v1::GenerateRequest wire = GoodRequest();
  wire.set_request_id(std::string(256, 'r'));
  wire.set_tenant(std::string(256, 't'));
  wire.set_cache_salt(std::string(256, 's'));
  wire.set_num_sequences(32);
  auto& sampling = *wire.mutable_sampling();
  sampling.set_temperature(100);
  sampling.set_top_k(INT32_MAX);
  sampling.set_top_p(1);
  sampling.set_min_p(1);
  sampling.set_repetition_penalty(100);
  sampling.set_presence_penalty(-100);
  sampling.set_frequency_penalty(100);
  for (uint32_t id = 0; id < kVocab; ++id) (*sampling.mutable_logit_bias())[id] = -1000;
  auto& stopping = *wire.mutable_stopping();
  stopping.set_max_new_tokens(5);
  stopping.set_min_new_tokens(5);
  for (int i = 0; i < 16; ++i) stopping.add_stop_strings(std::string(256, 'x'));
  for (int i = 0; i < 64; ++i) stopping.add_stop_token_ids(kVocab - 1);
  stopping.mutable_time_limit()->set_nanos(1);
  wire.mutable_response()->set_top_logprobs(20);
  // Stop strings need a tokenizer, and it is the only thing that this request lacks.
  const auto decoded = Decode(wire);
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(decoded.status().message()), HasSubstr("stopping.stop_strings"));
  stopping.clear_stop_strings();
  EXPECT_EQ(Decode(wire).status(), absl::OkStatus());
}

TEST(RequestCodecTest, UnsetFieldsHaveTheDocumentedDefaults) {
  const auto decoded = Decode(GoodRequest());
  ASSERT_EQ(decoded.status(), absl::OkStatus());
  const Request& request = decoded->request;
  EXPECT_THAT(request.request_id, testing::StartsWith("gen-"));
  EXPECT_EQ(request.num_sequences, 1);
  EXPECT_EQ(request.priority, 0);
  EXPECT_EQ(request.sampling.temperature, 1.0F);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.top_p, 1.0F);
  EXPECT_EQ(request.sampling.min_p, 0.0F);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.0F);
  EXPECT_FALSE(request.stopping.max_new_tokens.has_value());
  EXPECT_EQ(request.stopping.eos_token_ids, std::vector<TokenId>{3});
  EXPECT_TRUE(decoded->response.text);
  EXPECT_FALSE(decoded->response.token_ids);
  EXPECT_FALSE(decoded->response.logprobs);
  // Two requests without a seed get two.
  EXPECT_NE(request.sampling.seed, Decode(GoodRequest())->request.sampling.seed);
}

TEST(RequestCodecTest, IgnoreEosLeavesOnlyTheStopTokensOfTheRequest) {
  v1::GenerateRequest wire = GoodRequest();
  wire.mutable_stopping()->set_ignore_eos(true);
  wire.mutable_stopping()->add_stop_token_ids(9);
  const auto decoded = Decode(wire);
  ASSERT_EQ(decoded.status(), absl::OkStatus());
  EXPECT_TRUE(decoded->request.stopping.eos_token_ids.empty());
  EXPECT_EQ(decoded->request.stopping.stop_token_ids, std::vector<TokenId>{9});
}

}  // namespace
}  // namespace quire
