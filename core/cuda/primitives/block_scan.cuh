// Running sums over the threads of a block.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_BLOCK_SCAN_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_BLOCK_SCAN_CUH_

#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

template <typename T>
struct PrefixSum {
  T before;  // of the threads before this one
  T total;
};

// Of integers. `scratch` [BlockWarps()] and the barrier are as BlockReduce's.
template <typename T>
QUIRE_DEVICE PrefixSum<T> BlockPrefixSum(T value, Shared<T> scratch, Place place = Place::Here()) {
  const T in_warp = WarpPrefixSum(value, place);
  if (LaneIndex() == kWarpLanes - 1) scratch.Store(WarpIndex(), in_warp, place);
  BlockBarrier(place);
  PrefixSum<T> sum{in_warp - value, 0};
  for (int warp = 0; warp < BlockWarps(); ++warp) {
    const T of_warp = scratch.Load(warp, place);
    if (warp < WarpIndex()) sum.before += of_warp;
    sum.total += of_warp;
  }
  return sum;
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_BLOCK_SCAN_CUH_
