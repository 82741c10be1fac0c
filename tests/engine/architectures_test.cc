// Every architecture on the CPU.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/architectures.h"

namespace quire::testing {
namespace {

constexpr const char* kModels[] = {"deepseek_v2",   "deepseek_v2_lite",
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

std::vector<GoldenCase> Cases() {
  std::vector<GoldenCase> cases;
  for (const char* model : kModels) {
    cases.push_back({.model = model, .max_batch_tokens = 256});
    cases.push_back({.model = model, .max_batch_tokens = 13});
  }
  // Its prompts, and what follows them, reach past its context.
  for (int64_t max_batch_tokens : {256, 13}) {
    cases.push_back(
        {.model = "llama_dynamic", .max_batch_tokens = max_batch_tokens, .max_context = 128});
  }
  return cases;
}

std::vector<GoldenCase> Bfloat16Cases() {
  std::vector<GoldenCase> cases;
  for (const char* model : kModels) cases.push_back({.model = model, .max_batch_tokens = 512});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(, ArchitectureGolden, ::testing::ValuesIn(Cases()), CaseName);
INSTANTIATE_TEST_SUITE_P(, ArchitectureBfloat16, ::testing::ValuesIn(Bfloat16Cases()), CaseName);

}  // namespace
}  // namespace quire::testing
