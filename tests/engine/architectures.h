// Tiny checkpoints of every architecture against what transformers computes on them, strictly in
// float32 and by what bf16 rounds away in bfloat16
// (tests/golden/models, made by tools/make_golden.py). A program instantiates it for its backend.
#ifndef QUIRE_TESTS_ENGINE_ARCHITECTURES_H_
#define QUIRE_TESTS_ENGINE_ARCHITECTURES_H_

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/engine/golden_prompt.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/source_path.h"

namespace quire::testing {

// All of tests/golden/models that generate from their config alone.
inline constexpr const char* kArchitectures[] = {"deepseek_v2",   "deepseek_v2_lite",
                                                 "deepseek_v3",   "gemma",
                                                 "gemma2",        "gemma3",
                                                 "gemma3_nested", "glm4",
                                                 "glm4_moe",      "gpt2",
                                                 "gpt_oss",       "gpt_oss_mxfp4",
                                                 "granite",       "granite_moe",
                                                 "llama2",        "llama3",
                                                 "llama_linear",  "llama_longrope",
                                                 "llama_yarn",    "llama_yarn_mscale",
                                                 "mistral",       "mistral3_nested",
                                                 "mixtral",       "olmo2",
                                                 "phi3",          "phi3_longrope",
                                                 "quire_mla",     "quire_mla_low_rank",
                                                 "quire_qk_norm", "quire_qk_norm_full",
                                                 "qwen2",         "qwen2_moe",
                                                 "qwen3",         "qwen3_moe",
                                                 "stablelm",      "stablelm2",
                                                 "starcoder2"};

struct GoldenCase {
  std::string model;
  int64_t max_batch_tokens;  // prompts longer than it are computed in chunks
  int64_t max_context = 0;   // 0: the model's
  BackendOptions backend;
  size_t max_prompts = 100;                  // the others are left out
  bool (*is_there)() = [] { return true; };  // whether the machine has what it runs on
};

inline void PrintTo(const GoldenCase& golden, std::ostream* out) {
  *out << golden.model << " in steps of " << golden.max_batch_tokens;
}

class ArchitectureGolden : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(ArchitectureGolden, MeetsTransformersInFloat32) {
  if (!GetParam().is_there()) GTEST_SKIP() << "no device";
  const std::string directory = SourcePath("tests/golden/models/") + GetParam().model;
  LoadOptions options{.model = directory, .dtype = DType::kFloat32};
  options.kv_cache_bytes = size_t{8} << 20;
  options.max_batch_tokens = GetParam().max_batch_tokens;
  options.max_context = GetParam().max_context;
  options.max_num_sequences = 4;
  options.block_tokens = 16;
  options.backend = GetParam().backend;
  const auto loaded = LoadedModel::Load(options, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE((*loaded)->unused_tensors().empty());

  const auto golden = nlohmann::json::parse(std::ifstream(directory + "/golden.json"));
  size_t prompts = 0;
  for (const auto& prompt : golden.at("prompts")) {
    if (prompts++ < GetParam().max_prompts) ExpectMeetsGolden((*loaded)->engine(), prompt);
  }
}

// A greedy token that differs counts only where the oracle's first choice leads by more than 0.1;
// comparison then goes on from the oracle's token.
inline void ExpectGreedyByTheNearTieRule(Engine& engine, const nlohmann::json& prompt) {
  const auto greedy = prompt.at("greedy_ids").get<std::vector<TokenId>>();
  const auto gaps = prompt.at("greedy_gaps").get<std::vector<double>>();
  Request request;
  prompt.at("ids").get_to(request.prompt);
  request.sampling.temperature = 0;
  size_t done = 0;
  while (done < greedy.size()) {
    request.stopping.max_new_tokens = static_cast<int64_t>(greedy.size() - done);
    const Outcome outcome = testing::Run(engine, request);
    for (TokenId token : outcome.sequences[0].tokens) {
      const bool same = token == greedy[done];
      EXPECT_TRUE(same || gaps[done] <= 0.1)
          << "token " << done << " is " << token << "; the oracle's " << greedy[done]
          << " leads by " << gaps[done];
      request.prompt.push_back(greedy[done++]);
      if (!same) break;
    }
  }
}

class ArchitectureBfloat16 : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(ArchitectureBfloat16, StaysNearTransformers) {
  if (!GetParam().is_there()) GTEST_SKIP() << "no device";
  const std::string directory = SourcePath("tests/golden/models/") + GetParam().model;
  LoadOptions options{.model = directory, .dtype = DType::kBFloat16};
  options.kv_cache_bytes = size_t{8} << 20;
  options.max_num_sequences = 4;
  options.max_batch_tokens = GetParam().max_batch_tokens;
  options.backend = GetParam().backend;
  const auto loaded = LoadedModel::Load(options, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto golden = nlohmann::json::parse(std::ifstream(directory + "/golden.json"));
  size_t prompts = 0;
  for (const auto& prompt : golden.at("prompts")) {
    if (prompts++ == GetParam().max_prompts) break;
    Request request;
    prompt.at("ids").get_to(request.prompt);
    SCOPED_TRACE(request.prompt.size());
    request.prompt_logprobs = true;
    request.top_logprobs = 0;
    request.stopping.max_new_tokens = 0;
    const Outcome outcome = testing::Run((*loaded)->engine(), request);
    const auto scores = prompt.at("prompt_logprobs").get<std::vector<double>>();
    ASSERT_EQ(outcome.prompt_logprobs.size(), scores.size());
    double difference = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      difference += outcome.prompt_logprobs[i].chosen.logprob - scores[i];
    }
    EXPECT_NEAR(difference, 0.0, 0.02 * static_cast<double>(scores.size()));
    // With experts a router's near-tie may choose another one, and all that follows differs.
    if ((*loaded)->config().moe) continue;
    ExpectGreedyByTheNearTieRule((*loaded)->engine(), prompt);
  }
}

inline std::string CaseName(const ::testing::TestParamInfo<GoldenCase>& info) {
  return info.param.model + "_in_steps_of_" + std::to_string(info.param.max_batch_tokens);
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_ARCHITECTURES_H_
