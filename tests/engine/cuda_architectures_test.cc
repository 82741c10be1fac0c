// Architectures on the CUDA backend, whose kernels the emulation runs: every kind of attention,
// norm, rotation, feed-forward and cache once.
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/architectures.h"

namespace quire::testing {
namespace {

constexpr const char* kModels[] = {
    "llama2",   "deepseek_v2", "deepseek_v3",        "gemma2",  "gemma3",
    "gpt2",     "gpt_oss",     "llama_longrope",     "mixtral", "olmo2",
    "phi3",     "quire_mla",   "quire_qk_norm_full", "qwen2",   "qwen3_moe",
    "stablelm2"};

std::vector<GoldenCase> Cases(int64_t max_batch_tokens) {
  std::vector<GoldenCase> cases;
  for (const char* model : kModels) {
    cases.push_back({.model = model, .max_batch_tokens = max_batch_tokens, .max_prompts = 1});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cuda, ArchitectureGolden, ::testing::ValuesIn(Cases(13)), CaseName);
INSTANTIATE_TEST_SUITE_P(Cuda, ArchitectureBfloat16, ::testing::ValuesIn(Cases(64)), CaseName);

}  // namespace
}  // namespace quire::testing
