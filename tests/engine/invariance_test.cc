// The load changes no bit on the CPU, on every instruction set of the machine.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/cpu/cpu_isa.h"
#include "gtest/gtest.h"
#include "tests/engine/invariance_suite.h"

namespace quire::testing {
namespace {

std::vector<InvarianceOn> Cases() {
  std::vector<InvarianceOn> cases;
  for (const DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (const CpuIsa isa : AvailableCpuIsas()) {
      InvarianceOn on{.name = absl::StrCat(DTypeName(dtype), "_", CpuIsaName(isa)), .dtype = dtype};
      on.backend.device = "cpu";
      on.backend.cpu_isa = std::string(CpuIsaName(isa));
      cases.push_back(on);
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(, Invariance, ::testing::ValuesIn(Cases()), InvarianceName);

}  // namespace
}  // namespace quire::testing
