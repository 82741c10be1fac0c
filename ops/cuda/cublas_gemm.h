// Products of prompt rows by cuBLASLt.
#ifndef QUIRE_OPS_CUDA_CUBLAS_GEMM_H_
#define QUIRE_OPS_CUDA_CUBLAS_GEMM_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/cuda/device_queue.h"
#include "core/cuda/gpu_identity.h"
#include "core/device_memory.h"
#include "ops/cuda/measured_algorithms.h"
#include "ops/cuda/prompt_gemm.h"

namespace quire {

struct CublasGemmOptions {
  int64_t max_rows = 512;  // of a product
  GpuIdentity gpu;
  // True: one algorithm for a shape of weights at every number of rows, which takes K whole: the
  // table's, else the library's first choice for 2048 rows that gives a row the same bits in every
  // number of rows that is tried. False: the fastest of up to 100 in each of some ranges of rows.
  bool batch_invariance = true;
  // Where the fastest are kept from one start to the next; empty: nowhere.
  std::string cache_dir;
  absl::Span<const MeasuredAlgorithm> table = MeasuredAlgorithms();
  std::function<void(absl::string_view)> log;  // lines for people; or empty
  std::function<double()> clock;               // seconds; empty: the steady clock
};

// `queue` is over `stream`; they and `memory` outlive it. Measuring takes memory for a moment
// (where there is none, nothing is measured). A library that refuses a number of rows that it said
// it would take ends the process: to take another algorithm would change bits. RESOURCE_EXHAUSTED
// where its workspace can't be had, FAILED_PRECONDITION where the library isn't there.
absl::StatusOr<std::unique_ptr<PromptGemm>> MakeCublasGemm(DeviceQueue& queue, cudaStream_t stream,
                                                           DeviceMemory& memory,
                                                           CublasGemmOptions options);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUBLAS_GEMM_H_
