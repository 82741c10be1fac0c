#include "core/cpu/cpu_isa.h"

#include <cpuid.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace quire {
namespace {

constexpr CpuIsa kAllIsas[] = {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512,
                               CpuIsa::kAvx512Bf16};

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zeros when the CPU does not know the leaf.
Registers CpuId(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

// The register states that the operating system saves (XCR0).
uint64_t SavedStates() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

constexpr bool HasBits(uint64_t value, uint64_t bits) { return (value & bits) == bits; }
constexpr uint64_t Bit(int n) { return uint64_t{1} << n; }

CpuIsa Widest() {
  const Registers features = CpuId(1, 0);
  const bool has_xgetbv = HasBits(features.ecx, Bit(27));
  const uint64_t saved = has_xgetbv ? SavedStates() : 0;
  const Registers extended = CpuId(7, 0);
  const bool avx2 = HasBits(saved, 0x6) &&                                 // xmm, ymm
                    HasBits(features.ecx, Bit(12) | Bit(28) | Bit(29)) &&  // FMA, AVX, F16C
                    HasBits(extended.ebx, Bit(5));                         // AVX2
  if (!avx2) return CpuIsa::kPortable;
  const bool avx512 = HasBits(saved, 0xe6) &&                                        // masks, zmm
                      HasBits(extended.ebx, Bit(16) | Bit(17) | Bit(30) | Bit(31));  // F DQ BW VL
  if (!avx512) return CpuIsa::kAvx2;
  return HasBits(CpuId(7, 1).eax, Bit(5)) ? CpuIsa::kAvx512Bf16 : CpuIsa::kAvx512;
}

}  // namespace

absl::string_view CpuIsaName(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      return "portable";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

CpuFeatures DetectCpu() {
  CpuFeatures cpu;
  const Registers vendor = CpuId(0, 0);
  char name[12];
  std::memcpy(name, &vendor.ebx, 4);
  std::memcpy(name + 4, &vendor.edx, 4);
  std::memcpy(name + 8, &vendor.ecx, 4);
  cpu.vendor.assign(name, sizeof(name));
  const uint32_t signature = CpuId(1, 0).eax;
  const int family = static_cast<int>((signature >> 8) & 0xf);
  const int model = static_cast<int>((signature >> 4) & 0xf);
  const int extended_family = static_cast<int>((signature >> 20) & 0xff);
  const int extended_model = static_cast<int>((signature >> 16) & 0xf);
  cpu.family = family == 15 ? family + extended_family : family;
  cpu.model = family == 6 || family == 15 ? model + 16 * extended_model : model;
  cpu.widest = Widest();
  return cpu;
}

CpuIsa PreferredCpuIsa(const CpuFeatures& cpu) {
  if (cpu.widest == CpuIsa::kAvx512Bf16 && cpu.vendor != "AuthenticAMD") return CpuIsa::kAvx512;
  return cpu.widest;
}

std::vector<CpuIsa> AvailableCpuIsas() {
  const CpuIsa widest = DetectCpu().widest;
  std::vector<CpuIsa> isas;
  for (CpuIsa isa : kAllIsas) {
    if (isa <= widest) isas.push_back(isa);
  }
  return isas;
}

absl::StatusOr<CpuIsa> ChooseCpuIsa(absl::string_view name) {
  const CpuFeatures cpu = DetectCpu();
  if (name == "auto") return PreferredCpuIsa(cpu);
  for (CpuIsa isa : kAllIsas) {
    if (name != CpuIsaName(isa)) continue;
    if (isa <= cpu.widest) return isa;
    return absl::FailedPreconditionError(
        absl::StrCat("this CPU has no ", name, "; it has ", CpuIsaName(cpu.widest), " and less"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown instruction set \"", name,
                   "\"; expected auto, portable, avx2, avx512 or avx512_bf16"));
}

}  // namespace quire
