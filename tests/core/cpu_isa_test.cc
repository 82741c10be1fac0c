#include "core/cpu/cpu_isa.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(CpuIsa, NamesParseToWhatTheyName) {
  for (CpuIsa isa : AvailableCpuIsas()) {
    EXPECT_EQ(ChooseCpuIsa(CpuIsaName(isa)).value(), isa);
  }
}

TEST(CpuIsa, PortableIsAlwaysThereAndAutoIsOneOfTheAvailable) {
  EXPECT_THAT(AvailableCpuIsas(), ::testing::Contains(CpuIsa::kPortable));
  EXPECT_THAT(AvailableCpuIsas(), ::testing::Contains(ChooseCpuIsa("auto").value()));
}

TEST(CpuIsa, UnknownNamesAreRefusedWithTheChoices) {
  const auto isa = ChooseCpuIsa("neon");
  EXPECT_EQ(isa.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(isa.status().message()), ::testing::HasSubstr("avx512_bf16"));
}

TEST(CpuIsa, Bf16DotIsPreferredOnAmdOnly) {
  CpuFeatures cpu{"AuthenticAMD", 25, 17, CpuIsa::kAvx512Bf16};
  EXPECT_EQ(PreferredCpuIsa(cpu), CpuIsa::kAvx512Bf16);
  cpu.vendor = "GenuineIntel";
  EXPECT_EQ(PreferredCpuIsa(cpu), CpuIsa::kAvx512);
}

TEST(CpuIsa, WithoutBf16TheWidestIsPreferred) {
  for (CpuIsa isa : {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
    EXPECT_EQ(PreferredCpuIsa({"GenuineIntel", 6, 85, isa}), isa);
    EXPECT_EQ(PreferredCpuIsa({"AuthenticAMD", 23, 49, isa}), isa);
  }
}

}  // namespace
}  // namespace quire
