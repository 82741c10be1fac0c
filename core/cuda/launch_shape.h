// How a kernel is launched, on the device and in the emulation.
#ifndef QUIRE_CORE_CUDA_LAUNCH_SHAPE_H_
#define QUIRE_CORE_CUDA_LAUNCH_SHAPE_H_

#include <cstddef>
#include <cstdint>

namespace quire {

struct GridShape {
  int64_t x = 1;  // at most 2^31 - 1
  int64_t y = 1;  // at most 65535
  int64_t z = 1;  // at most 65535
};

struct LaunchShape {
  const char* name = "";    // for messages
  GridShape grid;           // blocks; none where one of them is 0
  int threads = 32;         // of a block; whole warps, at most 1024
  size_t shared_bytes = 0;  // see SharedBytes in core/cuda/primitives/shared.cuh
  // It may begin while the kernel before it in the stream still runs: it calls
  // WaitForEarlierKernels before it touches what others write.
  bool overlaps_earlier = false;
};

inline constexpr int kMaxBlockThreads = 1024;
// Shared memory of a block: the most that kernels have a shape for (compute capability 9.0 and
// 10.0; 8.0 has 163 KiB), and what every kernel has one for (8.6, 8.9, 12.0).
inline constexpr size_t kMaxSharedBytes = 227 << 10;
inline constexpr size_t kLeastSharedBytes = 99 << 10;
inline constexpr int64_t kMaxGridYZ = 65535;

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_LAUNCH_SHAPE_H_
