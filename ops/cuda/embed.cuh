// Token vectors: one block owns a piece of a row. It copies: no FLOPs to speak of.
#ifndef QUIRE_OPS_CUDA_EMBED_CUH_
#define QUIRE_OPS_CUDA_EMBED_CUH_

#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/kernel_args.h"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kEmbedThreads = 128;

template <typename T>
struct EmbedParams {
  Global<const T> table;
  int64_t table_stride;
  int64_t vocabulary;  // V
  int width;           // E
  Global<const int32_t> ids;
  float scale;
  bool accumulate;
  Global<float> out;
  int64_t out_stride;
};

// Block (t, piece): the piece's chunks, one a thread, of out[t].
template <typename T, bool kAligned>
QUIRE_KERNEL(kEmbedThreads, 8)
void EmbedKernel(EmbedParams<T> p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int chunk = BlockY() * kEmbedThreads + ThreadIndex();
  const int64_t id = p.ids.Load(BlockX());
  DeviceCheck(id >= 0 && id < p.vocabulary);
  if (chunk < NumChunks(p.width)) {
    const int begin = chunk * kChunk, count = ChunkCount(p.width, chunk);
    const Global<float> out = p.out + BlockX() * p.out_stride;
    float values[kChunk];
    LoadChunk<kAligned, Cache::kReadOnly>(p.table + id * p.table_stride, begin, count, values);
    float before[kChunk] = {};
    if (p.accumulate) LoadChunk<kAligned>(Global<const float>(out), begin, count, before);
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) values[i] = Fma(p.scale, values[i], before[i]);
    StoreChunk<kAligned>(out, begin, count, values);
  }
}

template <typename T, typename Launcher>
void LaunchEmbedOf(Launcher& launcher, const EmbedArgs& args) {
  const int width = static_cast<int>(args.out.cols);
  const LaunchShape shape{
      .name = "embed",
      .grid = {.x = args.out.rows, .y = (NumChunks(width) + kEmbedThreads - 1) / kEmbedThreads},
      .threads = kEmbedThreads,
      .overlaps_earlier = true};
  const EmbedParams<T> params{
      .table = Global<const T>(static_cast<const T*>(args.table.data)),
      .table_stride = args.table.row_stride,
      .vocabulary = args.table.rows,
      .width = width,
      .ids = Global<const int32_t>(args.ids.data),
      .scale = args.scale,
      .accumulate = args.accumulate,
      .out = Global<float>(static_cast<float*>(args.out.data)),
      .out_stride = args.out.row_stride,
  };
  const bool aligned = HasAlignedRows(args.table) && HasAlignedRows(args.out);
  launcher.Launch(shape, aligned ? &EmbedKernel<T, true> : &EmbedKernel<T, false>, params);
}

// args.out.rows of them, with args.out.cols > 0.
template <typename Launcher>
void LaunchEmbed(Launcher& launcher, const EmbedArgs& args) {
  if (args.table.dtype == DType::kBFloat16) {
    LaunchEmbedOf<bf16>(launcher, args);
  } else {
    LaunchEmbedOf<float>(launcher, args);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_EMBED_CUH_
