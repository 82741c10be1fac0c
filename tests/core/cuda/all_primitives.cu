#include "tests/core/cuda/all_primitives.cuh"

#include "core/cuda/device_limits.h"
#include "core/cuda/stream_launcher.cuh"
#include "tests/core/cuda/all_primitives_launch.h"

namespace quire::testing {

void LaunchAllPrimitivesOnDevice(cudaStream_t stream, const float* x, uint32_t* counters,
                                 uint32_t* out, uint32_t* num_records) {
  cuda::StreamLauncher launcher(stream, ReadDeviceLimits());
  cuda::LaunchAllPrimitives(launcher,
                            {cuda::Global<const float>(x), cuda::Global<uint32_t>(counters),
                             cuda::Global<uint32_t>(out), cuda::Global<uint32_t>(num_records)});
}

}  // namespace quire::testing
