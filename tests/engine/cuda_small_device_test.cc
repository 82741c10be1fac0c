// Whole models on a GPU with the least shared memory, emulated.
#include <vector>

#include "core/cuda/launch_shape.h"
#include "gtest/gtest.h"
#include "tests/engine/architectures.h"
#include "tests/testing/emulated_test_device.h"

namespace quire::testing {
namespace {

class SmallDevice : public ::testing::Environment {
 public:
  void SetUp() override { SetEmulatedSharedBytes(kLeastSharedBytes); }
};
const ::testing::Environment* const kSmallDevice =
    ::testing::AddGlobalTestEnvironment(new SmallDevice);  // which gtest owns

std::vector<GoldenCase> Cases() {
  std::vector<GoldenCase> cases;
  for (const char* model : {"llama2", "deepseek_v3", "gemma2", "gpt_oss"}) {
    cases.push_back({.model = model, .max_batch_tokens = 64, .max_prompts = 1});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(CudaSmallDevice, ArchitectureGolden, ::testing::ValuesIn(Cases()),
                         CaseName);
INSTANTIATE_TEST_SUITE_P(CudaSmallDevice, ArchitectureBfloat16, ::testing::ValuesIn(Cases()),
                         CaseName);

}  // namespace
}  // namespace quire::testing
