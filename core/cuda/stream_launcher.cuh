// Launches kernels on the device: the launcher that launch functions (ops/cuda/*.cuh) take there.
#ifndef QUIRE_CORE_CUDA_STREAM_LAUNCHER_CUH_
#define QUIRE_CORE_CUDA_STREAM_LAUNCHER_CUH_

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_error.h"
#include "core/cuda/device_limits.h"
#include "core/cuda/launch_shape.h"

namespace quire::cuda {

class StreamLauncher {
 public:
  // `limits` are those of the stream's device.
  StreamLauncher(cudaStream_t stream, const DeviceLimits& limits)
      : stream_(stream), limits_(limits) {}

  // What a block may have here. Launch functions whose kernels come in several shapes ask for it.
  size_t max_shared_bytes() const { return limits_.max_shared_bytes; }

  // In the stream's order; a captured stream records it. Nothing happens where the grid is empty.
  template <typename... Params>
  void Launch(const LaunchShape& shape, void (*kernel)(Params...), const Params&... params) {
    if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
    // More than this of dynamic shared memory a kernel has to ask for.
    constexpr size_t kUsualSharedBytes = 48 << 10;
    if (shape.shared_bytes > kUsualSharedBytes) {
      QUIRE_CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                            cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(shape.shared_bytes)));
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(shape.grid.x), static_cast<unsigned>(shape.grid.y),
                          static_cast<unsigned>(shape.grid.z));
    config.blockDim = dim3(static_cast<unsigned>(shape.threads));
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = stream_;
    config.attrs = &overlap;
    config.numAttrs = shape.overlaps_earlier && limits_.OverlapsKernels() ? 1 : 0;
    QUIRE_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, Params(params)...));
  }

 private:
  cudaStream_t stream_;
  DeviceLimits limits_;
};

}  // namespace quire::cuda

#endif  // QUIRE_CORE_CUDA_STREAM_LAUNCHER_CUH_
