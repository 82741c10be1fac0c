#include "attention/cpu/attention_kernel_table.h"

namespace quire {

namespace portable {
extern const AttentionKernels kAttentionKernels;
}
namespace avx2 {
extern const AttentionKernels kAttentionKernels;
}
namespace avx512 {
extern const AttentionKernels kAttentionKernels;
}
namespace avx512_bf16 {
extern const AttentionKernels kAttentionKernels;
}

const AttentionKernels& AttentionKernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      break;
    case CpuIsa::kAvx2:
      return avx2::kAttentionKernels;
    case CpuIsa::kAvx512:
      return avx512::kAttentionKernels;
    case CpuIsa::kAvx512Bf16:
      return avx512_bf16::kAttentionKernels;
  }
  return portable::kAttentionKernels;
}

}  // namespace quire
