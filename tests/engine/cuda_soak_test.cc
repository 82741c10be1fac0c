// The soak on the CUDA backend: 10,000 requests on a GPU, a few dozen in the emulation.
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/soak.h"
#include "tests/testing/test_device.h"

namespace quire::testing {
namespace {

std::vector<SoakCase> Cases() {
  std::vector<SoakCase> cases;
  for (const char* model : {"llama3", "deepseek_v3"}) {
    cases.push_back({.model = model,
                     .requests = TestDeviceIsEmulated() ? 24 : 10000,
                     .pages = TestDeviceIsEmulated() ? 12 : 20,
                     .backend = {.device = "cuda", .threads = 1, .gpu_memory_fraction = 0.2},
                     .is_there = HasTestDevice,
                     .device_bytes = TestDeviceBytesInUse});
    if (TestDeviceIsEmulated()) break;
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cuda, Soak, ::testing::ValuesIn(Cases()), SoakName);

}  // namespace
}  // namespace quire::testing
