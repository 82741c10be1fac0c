// For tests that run on every instruction set of the machine.
#ifndef QUIRE_TESTS_TESTING_ISAS_H_
#define QUIRE_TESTS_TESTING_ISAS_H_

#include <ostream>
#include <string>

#include "core/cpu/cpu_isa.h"
#include "gtest/gtest.h"

namespace quire {

inline void PrintTo(CpuIsa isa, std::ostream* out) { *out << CpuIsaName(isa); }

}  // namespace quire

namespace quire::testing {

// INSTANTIATE_TEST_SUITE_P(Isa, MyTest, AllIsas(), IsaName);
inline auto AllIsas() { return ::testing::ValuesIn(AvailableCpuIsas()); }

inline std::string IsaName(const ::testing::TestParamInfo<CpuIsa>& info) {
  return std::string(CpuIsaName(info.param));
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_ISAS_H_
