// The instructions that products are made of, as fast as they go: the ceiling of a GEMM.
#include "bench/ops/kernels/peak_kernels.h"

#include "core/cpu/simd/vec.h"

namespace quire::QUIRE_ISA {
namespace {

// Chains enough to hide the latency of an FMA.
constexpr int kChains = kTileVecs;

template <bool kDot>
double RunChains(int64_t rounds) {
  Vec sums[kChains];
  for (Vec& sum : sums) sum = Broadcast(1.0F);
  const Vec factor = BroadcastBits(0x3f803f80U);  // about 1, and a pair of bf16 ones
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) {
      if constexpr (kDot) {
        sums[c] = DotBf16Pairs(factor, factor, sums[c]);
      } else {
        sums[c] = Fma(sums[c], factor, factor);
      }
    }
  }
  Vec total = Zero();
  for (const Vec& sum : sums) total = Add(total, sum);
  volatile float kept = ReduceAdd(total);
  (void)kept;
  return static_cast<double>(rounds) * kChains * kLanes * (kDot ? 4 : 2);
}

}  // namespace

extern const PeakKernels kPeakKernels;
const PeakKernels kPeakKernels = {
    .fma = RunChains<false>,
#ifdef __AVX512BF16__
    .bf16_dot = RunChains<true>,
#else
    .bf16_dot = nullptr,
#endif
};

}  // namespace quire::QUIRE_ISA
