// A reduction over all threads of a block, in a fixed order.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_BLOCK_REDUCE_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_BLOCK_REDUCE_CUH_

#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// combine() over the block, in all threads the same bits: the warps' trees (WarpReduce), then warp
// after warp. `scratch` [BlockWarps()] must be free: two reductions in a row take two scratches, or
// a barrier between them. It has one barrier of the block.
template <typename T, typename Combine>
QUIRE_DEVICE T BlockReduce(T value, Combine combine, Shared<T> scratch,
                           Place place = Place::Here()) {
  value = WarpReduce(value, combine, place);
  if (LaneIndex() == 0) scratch.Store(WarpIndex(), value, place);
  BlockBarrier(place);
  T result = scratch.Load(0, place);
  for (int warp = 1; warp < BlockWarps(); ++warp) {
    result = combine(result, scratch.Load(warp, place));
  }
  return result;
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_BLOCK_REDUCE_CUH_
