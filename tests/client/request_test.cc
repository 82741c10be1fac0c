#include "client/request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::ElementsAre;

TEST(MakeRequest, UnsetParamsLeaveTheDefaultsToTheServer) {
  const v1::GenerateRequest request = MakeRequest("abc");
  EXPECT_EQ(request.text(), "abc");
  EXPECT_FALSE(request.has_num_sequences());
  EXPECT_FALSE(request.sampling().has_temperature());
  EXPECT_FALSE(request.sampling().has_top_p());
  EXPECT_FALSE(request.sampling().has_seed());
  EXPECT_FALSE(request.sampling().has_repetition_penalty());
  EXPECT_FALSE(request.stopping().has_max_new_tokens());
  EXPECT_FALSE(request.stopping().has_time_limit());
  EXPECT_FALSE(request.response().has_text());
  EXPECT_FALSE(request.response().has_top_logprobs());
}

TEST(MakeRequest, EveryParamReachesItsField) {
  const v1::GenerateRequest request = MakeRequest({5, 6}, {.request_id = "id",
                                                           .num_sequences = 2,
                                                           .max_new_tokens = 0,
                                                           .min_new_tokens = 4,
                                                           .stop_strings = {"a", "b"},
                                                           .stop_token_ids = {8, 9},
                                                           .ignore_eos = true,
                                                           .include_stop_string = true,
                                                           .time_limit = absl::Milliseconds(1500),
                                                           .temperature = 0.0F,
                                                           .top_k = 40,
                                                           .top_p = 0.5F,
                                                           .min_p = 0.25F,
                                                           .seed = uint64_t{1} << 63,
                                                           .repetition_penalty = 1.5F,
                                                           .presence_penalty = -1.0F,
                                                           .frequency_penalty = 2.0F,
                                                           .logit_bias = {{3, -1.5F}},
                                                           .text = false,
                                                           .token_ids = true,
                                                           .top_logprobs = 0,
                                                           .prompt_logprobs = true,
                                                           .echo_prompt = true,
                                                           .priority = -3,
                                                           .tenant = "tenant",
                                                           .cache_salt = "salt",
                                                           .bypass_prefix_cache = true});
  const std::string all = request.ShortDebugString();
  EXPECT_THAT(request.token_ids().ids(), ElementsAre(5, 6)) << all;
  EXPECT_EQ(request.request_id(), "id");
  EXPECT_EQ(request.num_sequences(), 2);
  EXPECT_TRUE(request.stopping().has_max_new_tokens());
  EXPECT_EQ(request.stopping().max_new_tokens(), 0);
  EXPECT_EQ(request.stopping().min_new_tokens(), 4);
  EXPECT_THAT(request.stopping().stop_strings(), ElementsAre("a", "b"));
  EXPECT_THAT(request.stopping().stop_token_ids(), ElementsAre(8, 9));
  EXPECT_TRUE(request.stopping().ignore_eos());
  EXPECT_TRUE(request.stopping().include_stop_string());
  EXPECT_EQ(request.stopping().time_limit().seconds(), 1);
  EXPECT_EQ(request.stopping().time_limit().nanos(), 500'000'000);
  EXPECT_TRUE(request.sampling().has_temperature());
  EXPECT_EQ(request.sampling().temperature(), 0);
  EXPECT_EQ(request.sampling().top_k(), 40);
  EXPECT_EQ(request.sampling().top_p(), 0.5F);
  EXPECT_EQ(request.sampling().min_p(), 0.25F);
  EXPECT_EQ(request.sampling().seed(), uint64_t{1} << 63);
  EXPECT_EQ(request.sampling().repetition_penalty(), 1.5F);
  EXPECT_EQ(request.sampling().presence_penalty(), -1.0F);
  EXPECT_EQ(request.sampling().frequency_penalty(), 2.0F);
  EXPECT_EQ(request.sampling().logit_bias().at(3), -1.5F);
  EXPECT_TRUE(request.response().has_text());
  EXPECT_FALSE(request.response().text());
  EXPECT_TRUE(request.response().token_ids());
  EXPECT_TRUE(request.response().has_top_logprobs());
  EXPECT_TRUE(request.response().prompt_logprobs());
  EXPECT_TRUE(request.response().echo_prompt());
  EXPECT_EQ(request.priority(), -3);
  EXPECT_EQ(request.tenant(), "tenant");
  EXPECT_EQ(request.cache_salt(), "salt");
  EXPECT_TRUE(request.bypass_prefix_cache());
}

}  // namespace
}  // namespace quire
