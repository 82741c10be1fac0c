// Every architecture on a GPU.
#include <vector>

#include "engine/cuda/open_cuda_device.h"
#include "gtest/gtest.h"
#include "tests/engine/architectures.h"

namespace quire::testing {
namespace {

std::vector<GoldenCase> Cases(std::vector<int64_t> steps) {
  std::vector<GoldenCase> cases;
  for (const char* model : kArchitectures) {
    for (int64_t max_batch_tokens : steps) {
      cases.push_back({.model = model,
                       .max_batch_tokens = max_batch_tokens,
                       // Several tests may run at a time.
                       .backend = {.device = "cuda", .gpu_memory_fraction = 0.5},
                       .is_there = HasCudaDevice});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Gpu, ArchitectureGolden, ::testing::ValuesIn(Cases({13, 256})), CaseName);
INSTANTIATE_TEST_SUITE_P(Gpu, ArchitectureBfloat16, ::testing::ValuesIn(Cases({512})), CaseName);

}  // namespace
}  // namespace quire::testing
