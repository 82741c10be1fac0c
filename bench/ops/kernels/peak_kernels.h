#ifndef QUIRE_BENCH_OPS_KERNELS_PEAK_KERNELS_H_
#define QUIRE_BENCH_OPS_KERNELS_PEAK_KERNELS_H_

#include <cstdint>

namespace quire {

// Each runs its instruction in independent chains and returns the FLOPs done.
struct PeakKernels {
  double (*fma)(int64_t rounds);
  double (*bf16_dot)(int64_t rounds);  // null where there is none
};

}  // namespace quire

#endif  // QUIRE_BENCH_OPS_KERNELS_PEAK_KERNELS_H_
