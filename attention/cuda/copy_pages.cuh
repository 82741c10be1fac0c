// Copies of pages: a block owns a piece of one page. No FLOPs.
#ifndef QUIRE_ATTENTION_CUDA_COPY_PAGES_CUH_
#define QUIRE_ATTENTION_CUDA_COPY_PAGES_CUH_

#include <cstdint>

#include "attention/cuda/rope_args.h"
#include "attention/cuda/token_place.cuh"
#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/chunks.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kCopyThreads = 256;
inline constexpr int kCopyPacks = 4;    // of a thread
inline constexpr int kWordsOfPack = 4;  // of 4 bytes
inline constexpr int kCopyPieceWords = kCopyThreads * kCopyPacks * kWordsOfPack;

struct CopyPagesParams {
  PagedKvView kv;
  int64_t page_words;  // of 4 bytes
  Global<const int32_t> pairs;
};

// Block (pair, piece).
QUIRE_KERNEL(kCopyThreads, 4)
inline void CopyPagesKernel(CopyPagesParams p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t begin = int64_t{BlockY()} * kCopyPieceWords;
  const Global<const uint32_t> source =
      PageAt<const uint32_t>(p.kv, p.pairs.Load(2 * BlockX())) + begin;
  const Global<uint32_t> target = PageAt<uint32_t>(p.kv, p.pairs.Load(2 * BlockX() + 1)) + begin;
  const int64_t left = p.page_words - begin;
  const int words = left < kCopyPieceWords ? static_cast<int>(left) : kCopyPieceWords;
  if (words == kCopyPieceWords && IsAligned(source.data()) && IsAligned(target.data())) {
    Pack<uint32_t, kWordsOfPack> packs[kCopyPacks];
    QUIRE_UNROLL
    for (int i = 0; i < kCopyPacks; ++i) {
      packs[i] = source.LoadPack<kWordsOfPack>((i * kCopyThreads + ThreadIndex()) * kWordsOfPack);
    }
    QUIRE_UNROLL
    for (int i = 0; i < kCopyPacks; ++i) {
      target.StorePack<kWordsOfPack>((i * kCopyThreads + ThreadIndex()) * kWordsOfPack, packs[i]);
    }
    return;
  }
  for (int i = ThreadIndex(); i < words; i += kCopyThreads) target.Store(i, source.Load(i));
}

template <typename Launcher>
void LaunchCopyPages(Launcher& launcher, const CopyPagesArgs& args) {
  const CopyPagesParams params{
      .kv = args.kv,
      .page_words = static_cast<int64_t>(args.kv.layout.page_bytes()) / 4,
      .pairs = Global<const int32_t>(args.pairs.data),
  };
  const LaunchShape shape{
      .name = "copy_pages",
      .grid = {.x = args.pairs.size / 2, .y = CeilDiv(params.page_words, kCopyPieceWords)},
      .threads = kCopyThreads,
      .overlaps_earlier = true};
  launcher.Launch(shape, &CopyPagesKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_COPY_PAGES_CUH_
