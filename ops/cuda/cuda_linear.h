// The weights of a Linear as the kernels of ops/cuda read them: row-major, as checkpoints have
// them, in the activations' type.
#ifndef QUIRE_OPS_CUDA_CUDA_LINEAR_H_
#define QUIRE_OPS_CUDA_CUDA_LINEAR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "ops/cuda/staged_copies.h"
#include "ops/ops.h"

namespace quire {

class CudaLinear : public Linear {
 public:
  CudaLinear(int64_t in_features, int64_t out_features, DType act_dtype, DeviceBuffer weight,
             DeviceBuffer bias, DeviceBuffer act_bias)
      : Linear(in_features, out_features),
        act_dtype_(act_dtype),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        act_bias_(std::move(act_bias)) {}

  size_t bytes() const override { return weight_.bytes() + bias_.bytes() + act_bias_.bytes(); }
  DType act_dtype() const { return act_dtype_; }
  // act [N, K], its rows aligned to 16 bytes.
  DeviceMatrix weight() const {
    return {weight_.data(), act_dtype_, out_features(), in_features(),
            RowStride(in_features(), act_dtype_)};
  }
  // fp32 [N], or null: zeros.
  const float* bias() const { return static_cast<const float*>(bias_.data()); }
  // The same in act, or null where it would have to be rounded.
  const void* act_bias() const {
    return act_dtype_ == DType::kFloat32 ? bias_.data() : act_bias_.data();
  }

  // Of rows of `width` numbers.
  static int64_t RowStride(int64_t width, DType dtype) {
    const int64_t pack = 16 / static_cast<int64_t>(DTypeBytes(dtype));
    return (width + pack - 1) / pack * pack;
  }

 private:
  DType act_dtype_;
  DeviceBuffer weight_;
  DeviceBuffer bias_;
  DeviceBuffer act_bias_;
};

// Brings weights to the device: the pool's threads write them, converted, into staging memory, in
// pieces of bounded size, of which one is on its way while the next is written. One call at a time.
class WeightUploader {
 public:
  // `queue`, `memory` and `pool` outlive it; the CPU must have `isa`. Staging memory is two times
  // `staging_bytes`.
  WeightUploader(DeviceQueue& queue, DeviceMemory& memory, ThreadPool& pool, CpuIsa isa,
                 size_t staging_bytes)
      : memory_(memory), pool_(pool), isa_(isa), copies_(queue, staging_bytes) {}

  // Each has read its source when it returns; what it made is whole for the queue's work from there
  // on, and for others after Finish. RESOURCE_EXHAUSTED when memory ends.
  absl::StatusOr<std::unique_ptr<CudaLinear>> Upload(const LinearSpec& spec);
  // Rows [V, width] alone, with CudaLinear::RowStride.
  absl::StatusOr<DeviceBuffer> UploadTable(const WeightRows& table, int64_t width, DType act_dtype);
  absl::StatusOr<DeviceBuffer> UploadBytes(const void* host, size_t bytes);
  template <typename T>
  absl::StatusOr<DeviceBuffer> UploadArray(const std::vector<T>& values) {
    return UploadBytes(values.data(), values.size() * sizeof(T));
  }

  // Waits until everything is there, and gives the staging memory back.
  void Finish() { copies_.Finish(); }

 private:
  absl::Status CopyPart(const WeightRows& part, int64_t width, DType act_dtype, char* device);
  // Rows [begin, begin + count) of `part` from `staging` on, with zeros behind the rows' ends.
  void Stage(const WeightRows& part, int64_t width, DType act_dtype, int64_t begin, int64_t count,
             char* staging);

  DeviceMemory& memory_;
  ThreadPool& pool_;
  CpuIsa isa_;
  StagedCopies copies_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUDA_LINEAR_H_
