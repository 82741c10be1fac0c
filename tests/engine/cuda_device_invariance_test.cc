// The load changes no bit on a GPU.
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/engine/invariance_suite.h"
#include "tests/testing/test_device.h"

namespace quire::testing {
namespace {

std::vector<InvarianceOn> Cases() {
  std::vector<InvarianceOn> cases;
  for (const DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    InvarianceOn on{.name = absl::StrCat(DTypeName(dtype), "_cuda"), .dtype = dtype};
    on.backend = {.device = "cuda", .gpu_memory_fraction = 0.4};
    on.shares_generated = false;
    on.is_there = HasTestDevice;
    cases.push_back(on);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Gpu, Invariance, ::testing::ValuesIn(Cases()), InvarianceName);

}  // namespace
}  // namespace quire::testing
