// y = x W^T + b on the CPU: which kernel takes which rows and columns.
#ifndef QUIRE_OPS_CPU_GEMM_H_
#define QUIRE_OPS_CPU_GEMM_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/cpu/packed_linear.h"

namespace quire {

class Gemm {
 public:
  // `max_rows` is the most rows of a product.
  Gemm(CpuIsa isa, ThreadPool& pool, DeviceMemory& memory, int64_t max_rows);

  // Makes room for products with `linear`; afterwards Run with it allocates nothing.
  absl::Status Prepare(const PackedLinear& linear);

  // The bits of a row of y do not depend on the other rows, on their number or on the threads.
  void Run(const PackedLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y);

 private:
  void PackRows(const PackedLinear& linear, const DeviceMatrix& x, int64_t num_blocks);

  const OpsKernels& kernels_;
  ThreadPool& pool_;
  DeviceMemory& memory_;
  int64_t max_rows_;
  DeviceBuffer packed_rows_;     // of one x at a time
  DeviceBuffer thread_scratch_;  // [threads] of sums and widened
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_GEMM_H_
