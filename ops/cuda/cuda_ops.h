// The CUDA backend of ops.h.
#ifndef QUIRE_OPS_CUDA_CUDA_OPS_H_
#define QUIRE_OPS_CUDA_CUDA_OPS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "ops/cuda/prompt_gemm.h"
#include "ops/ops.h"
#include "ops/weight_sizer.h"

namespace quire {

struct CudaOpsOptions {
  int64_t max_rows = 512;          // of a batch
  int64_t max_width = 0;           // E of SumRows
  CpuIsa isa = CpuIsa::kPortable;  // converts weights
  // Of one copy of weights: long against its latency, short against the weights.
  size_t staging_bytes = size_t{32} << 20;
  // Of prompt rows; null, and where it has no algorithm: the kernels of generated rows.
  PromptGemm* prompt_gemm = nullptr;
};

// Work goes to `queue` in order; only SumRows waits for it. `queue`, `memory` and `pool` (which
// converts weights) outlive the ops. RESOURCE_EXHAUSTED when memory ends. One call at a time.
absl::StatusOr<std::unique_ptr<Ops>> MakeCudaOps(DeviceQueue& queue, DeviceMemory& memory,
                                                 ThreadPool& pool, const CudaOpsOptions& options);

// Of ops with max_rows.
std::unique_ptr<WeightSizer> MakeCudaWeightSizer(int64_t max_rows);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUDA_OPS_H_
