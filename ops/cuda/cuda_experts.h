// Mixtures of experts on the device: a step's rows sorted by expert, one grouped product for all of
// them, and the results added up in each row's own order. The host never waits for the router.
#ifndef QUIRE_OPS_CUDA_CUDA_EXPERTS_H_
#define QUIRE_OPS_CUDA_CUDA_EXPERTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "ops/cuda/cuda_linear.h"
#include "ops/ops.h"

namespace quire {

class CudaExperts : public Experts {
 public:
  static absl::StatusOr<std::unique_ptr<CudaExperts>> Create(ExpertsSpec spec,
                                                             WeightUploader& uploader);

  // Of what Create takes.
  static size_t PointersBytes(const ExpertsSpec& spec) {
    return 2 * (spec.gate_up.size() + spec.down.size()) * sizeof(void*);
  }

  size_t bytes() const override;
  const ExpertsSpec& spec() const { return spec_; }
  int num_experts() const { return static_cast<int>(spec_.gate_up.size()); }

  // [X] pointers on the device.
  struct Pointers {
    const void* const* weights = nullptr;
    const float* const* biases = nullptr;  // or null
    int64_t weight_stride = 0;
  };
  Pointers gate_up() const { return At(0, *spec_.gate_up[0]); }
  Pointers down() const { return At(2, *spec_.down[0]); }

 private:
  CudaExperts(ExpertsSpec spec, DeviceBuffer pointers)
      : spec_(std::move(spec)), pointers_(std::move(pointers)) {}

  Pointers At(int list, const Linear& first) const;

  ExpertsSpec spec_;
  DeviceBuffer pointers_;  // [4, X]: weights and biases of gate_up, then of down
};

// One call at a time.
class CudaExpertsRunner {
 public:
  CudaExpertsRunner(DeviceQueue& queue, DeviceMemory& memory, int64_t max_rows)
      : queue_(queue), memory_(memory), max_rows_(max_rows) {}

  // Makes room for Run with `experts`, which then allocates nothing.
  absl::Status Prepare(const CudaExperts& experts);
  // Of what Prepare takes.
  static size_t ScratchBytes(const ExpertsSpec& spec, int64_t max_rows) {
    size_t bytes = 0;
    Lay(spec, max_rows, nullptr, bytes);
    return bytes;
  }
  // See Ops::ApplyExperts.
  void Run(const CudaExperts& experts, const DeviceMatrix& x, DeviceArray<const int32_t> ids,
           const DeviceMatrix& weights, const DeviceMatrix& out);

 private:
  // Of n = T k rows sorted by expert.
  struct Rows {
    DeviceMatrix gate_up;  // act [n, 2 F]
    DeviceMatrix gated;    // act [n, F]
    DeviceMatrix down;     // fp32 [n, E]
    int32_t* expert_start = nullptr;
    int32_t* source_row = nullptr;
    int32_t* place = nullptr;
    int32_t* counts = nullptr;
  };
  // Lays them out from `base` on; `bytes` becomes what they take.
  static Rows Lay(const ExpertsSpec& spec, int64_t rows, char* base, size_t& bytes);

  DeviceQueue& queue_;
  DeviceMemory& memory_;
  const int64_t max_rows_;
  DeviceBuffer scratch_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUDA_EXPERTS_H_
