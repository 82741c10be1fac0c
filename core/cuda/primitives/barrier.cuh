// Barriers. Each orders the memory accesses before it of those that it joins before the accesses
// behind it. Nothing else does: a shuffle orders none.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_BARRIER_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_BARRIER_CUH_

#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Of all threads of the block, none of which may have left the kernel.
QUIRE_DEVICE void BlockBarrier([[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  emulation::BlockBarrier(place);
#else
  __syncthreads();
#endif
}

// Barrier `id`, 1 to 15, of `threads` threads (whole warps), those that only arrive counted too.
QUIRE_DEVICE void NamedBarrier(int id, int threads, [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  emulation::NamedBarrier(id, threads, /*wait=*/true, place);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// Comes to it and goes on: what this thread did before is known to those that wait.
QUIRE_DEVICE void ArriveAtNamedBarrier(int id, int threads,
                                       [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  emulation::NamedBarrier(id, threads, /*wait=*/false, place);
#else
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// Of the lanes in `mask`.
QUIRE_DEVICE void WarpBarrier(uint32_t mask = kAllLanes,
                              [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  emulation::WarpBarrier(mask, place);
#else
  __syncwarp(mask);
#endif
}

// A grid launched with LaunchShape::overlaps_earlier waits here until the kernels before it in the
// stream are done and what they wrote is there (programmatic dependent launch).
QUIRE_DEVICE void WaitForEarlierKernels() {
#if QUIRE_EMULATED
  emulation::WaitForEarlierKernels();
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next such kernel in the stream may begin once all blocks have called this or left.
QUIRE_DEVICE void LetLaterKernelsBegin() {
#if !QUIRE_EMULATED && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900)
  asm volatile("griddepcontrol.launch_dependents;" :::);
#endif
}

// What only a bug can break. On the device it ends the process: the context is lost.
QUIRE_DEVICE void DeviceCheck(bool holds, [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  if (!holds) emulation::Fail("breaks a DeviceCheck", place);
#else
  if (!holds) __trap();
#endif
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_BARRIER_CUH_
