#include "ops/cpu/ops_kernel_table.h"

namespace quire {

namespace portable {
extern const OpsKernels kOpsKernels;
extern const SampleKernels kSampleKernels;
}  // namespace portable
namespace avx2 {
extern const OpsKernels kOpsKernels;
extern const SampleKernels kSampleKernels;
}  // namespace avx2
namespace avx512 {
extern const OpsKernels kOpsKernels;
extern const SampleKernels kSampleKernels;
}  // namespace avx512
namespace avx512_bf16 {
extern const OpsKernels kOpsKernels;
extern const SampleKernels kSampleKernels;
}  // namespace avx512_bf16

const OpsKernels& OpsKernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      break;
    case CpuIsa::kAvx2:
      return avx2::kOpsKernels;
    case CpuIsa::kAvx512:
      return avx512::kOpsKernels;
    case CpuIsa::kAvx512Bf16:
      return avx512_bf16::kOpsKernels;
  }
  return portable::kOpsKernels;
}

const SampleKernels& SampleKernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      break;
    case CpuIsa::kAvx2:
      return avx2::kSampleKernels;
    case CpuIsa::kAvx512:
      return avx512::kSampleKernels;
    case CpuIsa::kAvx512Bf16:
      return avx512_bf16::kSampleKernels;
  }
  return portable::kSampleKernels;
}

}  // namespace quire
