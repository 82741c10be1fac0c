// Every architecture on the CPU.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/architectures.h"

namespace quire::testing {
namespace {

std::vector<GoldenCase> Cases() {
  std::vector<GoldenCase> cases;
  for (const char* model : kArchitectures) {
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
  for (const char* model : kArchitectures)
    cases.push_back({.model = model, .max_batch_tokens = 512});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(, ArchitectureGolden, ::testing::ValuesIn(Cases()), CaseName);
INSTANTIATE_TEST_SUITE_P(, ArchitectureBfloat16, ::testing::ValuesIn(Bfloat16Cases()), CaseName);

}  // namespace
}  // namespace quire::testing
