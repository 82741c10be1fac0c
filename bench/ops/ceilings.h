// What the machine can do at all, measured in the same run as the op beside it: a share of it says
// more than a rate, because other tenants of the machine move both.
#ifndef QUIRE_BENCH_OPS_CEILINGS_H_
#define QUIRE_BENCH_OPS_CEILINGS_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "benchmark/benchmark.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"

namespace quire::bench {

// Bigger than any cache that a working set might hide in.
inline constexpr int64_t kColdBytes = int64_t{640} << 20;

double Seconds(absl::FunctionRef<void()> run);
double Median(std::vector<double> values);

class Ceilings {
 public:
  // `memory` holds a cold buffer of kColdBytes, which the reads rotate over.
  Ceilings(ThreadPool& pool, DeviceMemory& memory);

  // One sample each, over all threads of the pool; some milliseconds long.
  double ReadBytesPerSecond();
  double FlopsPerSecond(CpuIsa isa, bool bf16_dot);

 private:
  ThreadPool& pool_;
  DeviceBuffer cold_;
  int64_t next_ = 0;
};

// What one call of an op moves and computes.
struct Work {
  double bytes = 0;
  double flops = 0;
};

enum class Bound { kMemory, kCompute };

// Times run(i), i counting up, and samples the ceilings every few milliseconds. Reports the median,
// least and greatest time (us, us_min, us_max), the work of a call (bytes, flops) and the medians
// of its rates (GB_s, GF_s), of the ceilings (read_GB_s, peak_GF_s) and of the share of the one
// that `bound` names, each group of calls against the samples just before and after it.
void Report(benchmark::State& state, Ceilings& ceilings, CpuIsa isa, bool bf16_dot, Bound bound,
            Work work, absl::FunctionRef<void(int64_t)> run);

}  // namespace quire::bench

#endif  // QUIRE_BENCH_OPS_CEILINGS_H_
