// Pieces of keys (MlaPieces) as kernels see them, the states that rows carry from piece to piece,
// and the kernel that gathers a chunk's latents: a block owns 32 keys and 32 words of them, which
// it turns around in shared memory. It copies.
#ifndef QUIRE_ATTENTION_CUDA_MLA_PIECES_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_PIECES_CUH_

#include <cstdint>

#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_softmax.cuh"
#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kGatherThreads = 256;
inline constexpr int kGatherTile = 32;  // keys, and words

// The first position that has a row in the piece's entry, and one that sees keys of the piece.
QUIRE_HOST_DEVICE int FirstPosition(const MlaPiece& piece) { return piece.kv_len - piece.queries; }
QUIRE_HOST_DEVICE int FirstSeeingPosition(const MlaPiece& piece) {
  const int first = FirstPosition(piece);
  return first > piece.first_key ? first : piece.first_key;
}

// Blocks of rows: those at positions [i kRows, (i + 1) kRows) of the sequence, whatever the chunk.
template <int kRows>
struct PieceRows {
  QUIRE_HOST_DEVICE static int Blocks(const MlaPiece& piece) {
    return (piece.kv_len + kRows - 1) / kRows - FirstSeeingPosition(piece) / kRows;
  }
};

// Blocks of keys, counted from the piece's first.
struct PieceKeys {
  QUIRE_HOST_DEVICE static int Blocks(const MlaPiece& piece) {
    return (piece.keys + kGatherTile - 1) / kGatherTile;
  }
};

// Of all pieces, Blocks::Blocks of each.
template <typename Blocks>
int64_t CountPieceBlocks(const MlaPieces& pieces) {
  int64_t blocks = 0;
  for (int i = 0; i < pieces.count; ++i) blocks += Blocks::Blocks(pieces.list[i]);
  return blocks;
}

// The piece of block `block` of all, which becomes its number within the piece.
template <typename Blocks>
QUIRE_DEVICE MlaPiece FindPiece(const MlaPieces& pieces, int& block) {
  int i = 0;
  for (; i + 1 < pieces.count && block >= Blocks::Blocks(pieces.list[i]); ++i) {
    block -= Blocks::Blocks(pieces.list[i]);
  }
  return pieces.list[i];
}

// What a row and head carries from piece to piece: [T, H] of Dv sums and of m and l.
struct PrefillStates {
  Global<float> sums;
  Global<float> softmax;
  int heads;
  int width;  // Dv

  // For rows of q.
  PrefillStates(float* states, int64_t rows, const MlaShape& shape)
      : sums(states),
        softmax(states == nullptr ? nullptr : states + rows * shape.out_width()),
        heads(shape.num_heads),
        width(shape.value_dim) {}

  QUIRE_DEVICE int64_t At(int64_t row, int head) const { return row * heads + head; }
  QUIRE_DEVICE SoftmaxState Softmax(int64_t at) const {
    const auto pair = softmax.LoadPack<2>(2 * at);
    return {pair[0], pair[1]};
  }
  QUIRE_DEVICE void StoreSoftmax(int64_t at, SoftmaxState state) const {
    softmax.StorePack<2>(2 * at, {{state.m, state.l}});
  }
};

struct MlaGatherParams {
  MlaPieces pieces;
  PageWords pages;
  Global<const int32_t> blocks;
  int width;  // words of a row
  Global<uint32_t> out;
  int64_t out_stride;  // in words
};

// Block (32 keys, 32 words).
template <int kThreads>
QUIRE_KERNEL(kThreads, 4)
void MlaGatherKernel(MlaGatherParams p) {
  constexpr int kStride = kGatherTile + 1;
  SharedMemory memory;
  const Shared<uint32_t> tile = memory.Take<uint32_t>(kGatherTile * kStride);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  int block = static_cast<int>(BlockX());
  const MlaPiece piece = FindPiece<PieceKeys>(p.pieces, block);
  const int first_key = block * kGatherTile, first_word = BlockY() * kGatherTile;
  const int key = first_key + LaneIndex();
  if (key < piece.keys) {
    const int64_t token = p.pages.At(p.blocks + piece.table_start, piece.first_key + key);
    for (int i = WarpIndex(); i < kGatherTile && first_word + i < p.width; i += BlockWarps()) {
      tile.Store(i * kStride + LaneIndex(),
                 p.pages.words.Load(token + int64_t{first_word + i} * p.pages.block_tokens));
    }
  }
  BlockBarrier();
  const int word = first_word + LaneIndex();
  for (int i = WarpIndex(); i < kGatherTile && first_key + i < piece.keys; i += BlockWarps()) {
    if (word >= p.width) break;
    p.out.Store(int64_t{piece.kv_row + first_key + i} * p.out_stride + word,
                tile.Load(LaneIndex() * kStride + i));
  }
}

template <typename Launcher>
void LaunchMlaGather(Launcher& launcher, const MlaGatherArgs& args) {
  const int pair = 4 / static_cast<int>(DTypeBytes(args.pages.dtype));
  const MlaGatherParams params{.pieces = args.pieces,
                               .pages = PageWords(args.pages),
                               .blocks = Global<const int32_t>(args.blocks.data),
                               .width = static_cast<int>(args.latent.cols) / pair,
                               .out = Global<uint32_t>(static_cast<uint32_t*>(args.latent.data)),
                               .out_stride = args.latent.row_stride / pair};
  launcher.Launch(
      LaunchShape{.name = "mla_gather",
                  .grid = {.x = CountPieceBlocks<PieceKeys>(args.pieces),
                           .y = CeilDiv(params.width, kGatherTile)},
                  .threads = kGatherThreads,
                  .shared_bytes = SharedBytes<uint32_t>(kGatherTile * (kGatherTile + 1)),
                  .overlaps_earlier = true},
      &MlaGatherKernel<kGatherThreads>, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_PIECES_CUH_
