// Which instructions the CPU kernels use. Kernels are compiled once per entry of CpuIsa; one is
// chosen at start, from what the CPU reports and never from a timing, so that the same machine
// always gives the same bits. Results of different instruction sets may differ in the last bits.
#ifndef QUIRE_CORE_CPU_CPU_ISA_H_
#define QUIRE_CORE_CPU_CPU_ISA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

// Ascending: a CPU that has one has all before it.
enum class CpuIsa : uint8_t {
  kPortable,    // what every x86-64 has
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL
  kAvx512Bf16,  // and AVX512_BF16: bf16 products by vdpbf16ps
};

// "portable", "avx2", "avx512", "avx512_bf16": the values of the server's flag.
absl::string_view CpuIsaName(CpuIsa isa);

// What CPUID says.
struct CpuFeatures {
  std::string vendor;  // "GenuineIntel", "AuthenticAMD", ...
  int family = 0;      // display family and model
  int model = 0;
  CpuIsa widest = CpuIsa::kPortable;  // the last entry of CpuIsa that CPU and system can run
};

CpuFeatures DetectCpu();

// The instruction set that a CPU runs best: the widest, but for bf16 on Intel. vdpbf16ps runs at
// twice the rate of fp32 FMA on AMD (Zen 4 on) and at half of it on Intel (Cooper Lake to Emerald
// Rapids): one core of a Xeon with AVX512_BF16 reaches 91 GF/s with it, and 194 GF/s with fp32 FMA
// on bf16 widened in registers. So Intel takes kAvx512 unless told otherwise.
CpuIsa PreferredCpuIsa(const CpuFeatures& cpu);

// Every instruction set that this CPU can run, ascending.
std::vector<CpuIsa> AvailableCpuIsas();

// "auto" is the preferred one of this CPU. INVALID_ARGUMENT for a name that is none,
// FAILED_PRECONDITION for one that this CPU does not have.
absl::StatusOr<CpuIsa> ChooseCpuIsa(absl::string_view name);

}  // namespace quire

#endif  // QUIRE_CORE_CPU_CPU_ISA_H_
