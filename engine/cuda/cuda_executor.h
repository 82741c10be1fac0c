// Runs batches on a CUDA device, the next one queued while one is computed.
#ifndef QUIRE_ENGINE_CUDA_CUDA_EXECUTOR_H_
#define QUIRE_ENGINE_CUDA_CUDA_EXECUTOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "engine/cuda/decode_graphs.h"
#include "engine/executor.h"
#include "model/decoder.h"
#include "ops/cuda/cuda_sampler.h"

namespace quire {

// Batches under way at most: the host packs one while the device computes the other.
inline constexpr int kCudaPipelineDepth = 2;

// `sampler` has kCudaPipelineDepth slots. RESOURCE_EXHAUSTED when memory ends. All that is passed
// by reference outlives the executor.
absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(Decoder& decoder, CudaSampler& sampler,
                                                           DeviceQueue& queue, DeviceMemory& memory,
                                                           const BatchLimits& limits,
                                                           const DecodeGraphOptions& graphs);

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_CUDA_EXECUTOR_H_
