// Mixtures of experts on the CPU: a step's rows sorted by expert, one group of products for all
// experts with work, and the results added up in each row's own order.
#ifndef QUIRE_OPS_CPU_CPU_EXPERTS_H_
#define QUIRE_OPS_CPU_CPU_EXPERTS_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/ops.h"

namespace quire {

class CpuExperts : public Experts {
 public:
  explicit CpuExperts(ExpertsSpec spec) : spec_(std::move(spec)) {}
  size_t bytes() const override;
  const ExpertsSpec& spec() const { return spec_; }

 private:
  ExpertsSpec spec_;
};

// One call at a time.
class ExpertsRunner {
 public:
  // `max_rows` is the most rows of a call.
  ExpertsRunner(const OpsKernels& kernels, ThreadPool& pool, DeviceMemory& memory, Gemm& gemm,
                int64_t max_rows)
      : kernels_(kernels), pool_(pool), memory_(memory), gemm_(gemm), max_rows_(max_rows) {}

  // Makes room for Run with `experts`, which then allocates nothing.
  absl::Status Prepare(const CpuExperts& experts);
  // Of what Prepare takes.
  static size_t ScratchBytes(const ExpertsSpec& spec, int64_t max_rows) {
    size_t bytes = 0;
    Lay(spec, max_rows * spec.top_k, nullptr, bytes);
    return bytes;
  }

  // See Ops::ApplyExperts. Bytes read are the weights of the chosen experts, FLOPs those of k
  // experts a row: with few rows memory is the limit.
  void Run(const CpuExperts& experts, const DeviceMatrix& x, DeviceArray<const int32_t> ids,
           const DeviceMatrix& weights, const DeviceMatrix& out);

 private:
  // The intermediate results of n = T k rows, sorted by expert; `down` lies where `x` and `gate_up`
  // lay.
  struct Rows {
    DeviceMatrix x;        // act [n, E]
    DeviceMatrix gate_up;  // act [n, 2 F]
    DeviceMatrix gated;    // act [n, F]
    DeviceMatrix down;     // fp32 [n, E]
  };

  // Lays them out from `base` on; `bytes` becomes what they take.
  static Rows Lay(const ExpertsSpec& spec, int64_t rows, char* base, size_t& bytes);
  // positions_[i] = where entry i of `ids` stands among all sorted by expert.
  void Sort(DeviceArray<const int32_t> ids, size_t num_experts);
  void GatherRows(const DeviceMatrix& x, int64_t top_k, const DeviceMatrix& sorted);
  // y = linear of x, of each expert its rows.
  void Multiply(const std::vector<std::unique_ptr<Linear>>& linears, const DeviceMatrix& x,
                const DeviceMatrix& y);
  void Activate(const ActivationParams& activation, const DeviceMatrix& gate_up,
                const DeviceMatrix& out);
  void Combine(const DeviceMatrix& down, const DeviceMatrix& weights, const DeviceMatrix& out);

  const OpsKernels& kernels_;
  ThreadPool& pool_;
  DeviceMemory& memory_;
  Gemm& gemm_;
  const int64_t max_rows_;
  DeviceBuffer scratch_;
  std::vector<int64_t> begins_;     // [X + 1], of each expert's rows
  std::vector<int32_t> positions_;  // [T k]
  std::vector<Product> products_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_CPU_EXPERTS_H_
