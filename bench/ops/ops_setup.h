// What the benchmarks of ops stand on.
#ifndef QUIRE_BENCH_OPS_OPS_SETUP_H_
#define QUIRE_BENCH_OPS_OPS_SETUP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/ops/setup.h"
#include "ops/cpu/cpu_ops.h"

namespace quire::bench {

inline constexpr int64_t kMaxRows = 512;

struct OpsSetup : Setup {
  explicit OpsSetup(const SetupFlags& flags)
      : Setup(flags), ops(MakeCpuOps(pool, memory, isa, {kMaxRows})) {}
  // Whether products of `dtype` multiply pairs of bf16.
  bool Dot(DType dtype) const { return isa == CpuIsa::kAvx512Bf16 && dtype == DType::kBFloat16; }

  std::unique_ptr<Ops> ops;
};

inline std::vector<uint8_t> RandomElements(DType dtype, int64_t count) {
  std::vector<uint8_t> bytes(count * DTypeBytes(dtype));
  FillRandom(bytes.data(), dtype, count);
  return bytes;
}

}  // namespace quire::bench

#endif  // QUIRE_BENCH_OPS_OPS_SETUP_H_
