// The whole benchmark: a table of every op and of whole steps, each as a share of what the device
// can do in the same run.
#ifndef QUIRE_BENCH_GPU_GPU_BENCH_H_
#define QUIRE_BENCH_GPU_GPU_BENCH_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/gpu/op_bench.h"
#include "bench/gpu/report.h"
#include "bench/gpu/step_bench.h"
#include "bench/gpu/timer.h"

namespace quire::gpu_bench {

struct BenchOptions {
  std::vector<std::string> models;  // directories of a config.json
  bool ops = true;
  bool steps = true;
  // Nothing is begun behind it.
  absl::Duration time_limit = absl::InfiniteDuration();
  OpSizes op_sizes;
  StepSizes step_sizes;
  TimerOptions timer;
};

// FAILED_PRECONDITION where there is no device. A model that does not fit is left out.
absl::Status RunBench(const BenchOptions& options, Report& report);

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_GPU_BENCH_H_
