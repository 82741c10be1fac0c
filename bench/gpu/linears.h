// Products with random weights.
#ifndef QUIRE_BENCH_GPU_LINEARS_H_
#define QUIRE_BENCH_GPU_LINEARS_H_

#include <cstdint>
#include <memory>

#include "core/dtype.h"
#include "ops/ops.h"

namespace quire::gpu_bench {

inline constexpr DType kAct = DType::kBFloat16;

// [out, in] in bf16, from a few million random numbers over and over.
std::unique_ptr<Linear> RandomLinear(Ops& ops, int64_t out, int64_t in);

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_LINEARS_H_
