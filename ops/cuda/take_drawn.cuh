// Ids that the host does not know yet: tokens of the batch before become inputs of this one. One
// thread a row: it copies.
#ifndef QUIRE_OPS_CUDA_TAKE_DRAWN_CUH_
#define QUIRE_OPS_CUDA_TAKE_DRAWN_CUH_

#include <cstdint>

#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/sampler_args.h"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kTakeDrawnThreads = 128;

struct TakeDrawnParams {
  Global<const int32_t> sources;
  int64_t size;
  Global<const int32_t> drawn;
  Global<int32_t> ids;
};

QUIRE_KERNEL(kTakeDrawnThreads, 8)
void TakeDrawnKernel(TakeDrawnParams p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t i = BlockX() * kTakeDrawnThreads + ThreadIndex();
  if (i >= p.size) return;
  const int32_t source = p.sources.Load(i);
  if (source < 0) return;
  const int32_t token = p.drawn.Load(source);
  p.ids.Store(i, token < 0 ? 0 : token);  // the row's sequence ends: any token does
}

template <typename Launcher>
void LaunchTakeDrawn(Launcher& launcher, const TakeDrawnArgs& args) {
  launcher.Launch({.name = "take_drawn",
                   .grid = {.x = CeilDiv(args.sources.size, kTakeDrawnThreads)},
                   .threads = kTakeDrawnThreads,
                   .overlaps_earlier = true},
                  &TakeDrawnKernel,
                  TakeDrawnParams{.sources = Global<const int32_t>(args.sources.data),
                                  .size = args.sources.size,
                                  .drawn = Global<const int32_t>(args.drawn),
                                  .ids = Global<int32_t>(args.ids)});
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_TAKE_DRAWN_CUH_
