// What a kernel's source is compiled for: the device, by nvcc, or the emulation, by the host's
// compiler (core/cuda/emulation/launcher.h). The text is the same; only the headers of this folder
// know the difference, and only they hold inline PTX and CUDA's own functions.
//
// Kernels stand in `namespace quire::QUIRE_CUDA_TARGET`, so that both forms can be in one program:
//
//   template <typename T>
//   QUIRE_KERNEL(256, 4) void ScaleKernel(ScaleParams<T> p) { ... }
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_TARGET_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_TARGET_CUH_

#include <cstdint>

#ifdef __CUDACC__
#define QUIRE_EMULATED 0
#define QUIRE_CUDA_TARGET cuda
// Of at most `max_threads` threads a block; registers are kept few enough for `min_blocks` blocks
// on a multiprocessor.
#define QUIRE_KERNEL(max_threads, min_blocks) __global__ __launch_bounds__(max_threads, min_blocks)
// Of a kernel's parameter that is indexed: it is not copied to each thread.
#define QUIRE_GRID_CONSTANT __grid_constant__
#define QUIRE_DEVICE __device__ __forceinline__
#define QUIRE_HOST_DEVICE __host__ __device__ __forceinline__
#else
#include "core/cuda/emulation/runtime.h"
#define QUIRE_EMULATED 1
#define QUIRE_CUDA_TARGET cuda_emulated
#define QUIRE_KERNEL(max_threads, min_blocks)
#define QUIRE_GRID_CONSTANT
#define QUIRE_DEVICE inline
#define QUIRE_HOST_DEVICE inline
#endif

// Before a loop whose bounds are constants; and before one that is to stay a loop.
#ifdef __CUDACC__
#define QUIRE_UNROLL _Pragma("unroll")
#define QUIRE_NO_UNROLL _Pragma("unroll 1")
#else
#define QUIRE_UNROLL
#define QUIRE_NO_UNROLL
#endif

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kWarpLanes = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffU;

// The last argument of whatever can go wrong: the caller's place, which the device does without.
#if QUIRE_EMULATED
using emulation::Place;
#else
struct Place {
  QUIRE_DEVICE static constexpr Place Here() { return {}; }
};
#endif

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_TARGET_CUH_
