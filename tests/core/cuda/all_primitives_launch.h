// The kernel of all_primitives.cuh on the device.
#ifndef QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_LAUNCH_H_
#define QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_LAUNCH_H_

#include <cuda_runtime_api.h>

#include <cstdint>

namespace quire::testing {

void LaunchAllPrimitivesOnDevice(cudaStream_t stream, const float* x, uint32_t* counters,
                                 uint32_t* out, uint32_t* num_records);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_LAUNCH_H_
