// A block's part of a product y = x W^T: from tiles in shared memory to numbers of y. What is a
// block's, and the law of sums, stands in gemm_shape.cuh. W is the 16-row operand of mma and x the
// 8-column one, so that one token wastes least.
#ifndef QUIRE_OPS_CUDA_GEMM_TILE_CUH_
#define QUIRE_OPS_CUDA_GEMM_TILE_CUH_

#include <cstdint>
#include <type_traits>

#include "core/ceil_div.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/gemm_shape.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// The product of which a block makes a part.
template <typename T>
struct GemmOperands {
  int n, k;
  Global<const T> x;
  int x_rows;
  int x_stride;
  bool x_aligned;                    // rows begin at multiples of 16 bytes; so below
  Global<const int32_t> source_row;  // of x, for each row of y; or null
  Global<const T> weight;
  int weight_stride;
  bool weight_aligned;
  Global<const float> bias;  // or null
  Global<T> y;               // or null,
  Global<float> y_float;     // and then this
  int64_t y_stride;
  bool y_aligned;
};

// The part: features from first_feature on, of rows [first_token, first_token + tokens) of y.
struct GemmPart {
  int first_feature;
  int64_t first_token;
  int tokens;
};

// Tiles are rows of 8 chunks of 16 bytes. Chunk c of row r lies at place c ^ (r % 8), so that both
// a row and one chunk of 8 neighbouring rows (which is what ldmatrix takes) fill all banks.
template <typename T>
QUIRE_DEVICE int TileIndex(int row, int chunk) {
  return (row * 8 + (chunk ^ (row % 8))) * kPackOf16Bytes<T>;
}

// `count` numbers of `source` from `begin` on, then zeros, to the chunk at `to`. Aligned, it goes
// on beside the thread.
template <bool kAligned, typename T>
QUIRE_DEVICE void CopyChunk(Shared<T> tile, int to, Global<const T> source, int64_t begin,
                            int count) {
  if constexpr (kAligned) {
    CopyAsync<16>(tile, to, source, begin, count * static_cast<int>(sizeof(T)));
  } else {
    constexpr int kPack = kPackOf16Bytes<T>;
    Pack<T, kPack> pack;
    QUIRE_UNROLL
    for (int i = 0; i < kPack; ++i) pack[i] = i < count ? source.Load(begin + i) : T{};
    tile.template StorePack<kPack>(to, pack);
  }
}

// One thread's part in it. Calls in this order, each by all threads of the block: BeginWeights,
// BeginTokens, Multiply, Store.
template <typename T, typename Shape>
class GemmTile {
 public:
  // Takes the block's shared memory.
  QUIRE_DEVICE GemmTile(const GemmOperands<T>& operands, const GemmPart& part, SharedMemory& memory)
      : p_(operands),
        part_(part),
        memory_(memory.template Take<T>(Groups() * kGroupNumbers)),
        group_(memory_ + Group() * kGroupNumbers) {
    const int slice_tiles = GemmSliceLength(p_.k) / kTileK;
    const int tiles = static_cast<int>(CeilDiv(p_.k, kTileK));
    slice_tiles_ = slice_tiles;
    begin_ = Shape::kSplitsSlices ? Group() * slice_tiles : 0;
    end_ = Shape::kSplitsSlices && begin_ + slice_tiles < tiles ? begin_ + slice_tiles : tiles;
  }

  // The first tiles of W, which no kernel writes, and then those of x.
  QUIRE_DEVICE void BeginWeights() {
    QUIRE_UNROLL
    for (int stage = 0; stage + 1 < Shape::kStages; ++stage) {
      if (begin_ + stage < end_) CopyWeights(begin_ + stage, stage);
    }
  }
  QUIRE_DEVICE void BeginTokens() {
    QUIRE_UNROLL
    for (int j = 0; j < kTokenCopies; ++j) source_[j] = SourceRow(Row(j));
    QUIRE_UNROLL
    for (int stage = 0; stage + 1 < Shape::kStages; ++stage) {
      if (begin_ + stage < end_) CopyTokens(begin_ + stage, stage);
      CommitCopies();
    }
  }

  QUIRE_DEVICE void Multiply() {
    int stage = 0, next_stage = Shape::kStages - 1, left = slice_tiles_;
    for (int tile = begin_; tile < end_; ++tile) {
      WaitForCopies<Shape::kStages - 2>();
      GroupBarrier();  // the tile is there, and the one before it has been read
      const int next = tile + Shape::kStages - 1;
      if (next < end_) {
        CopyWeights(next, next_stage);
        CopyTokens(next, next_stage);
      }
      CommitCopies();
      MultiplyTile(StageWeights(stage), StageTokens(stage));
      if (--left == 0 || tile + 1 == end_) {
        EndSlice();
        left = slice_tiles_;
      }
      next_stage = stage;
      stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    }
  }

  // The groups' sums, where their tiles were, become y.
  QUIRE_DEVICE void Store() {
    GroupBarrier();  // all tiles have been read
    PutSums();
    BlockBarrier();
    constexpr int kQuads = Shape::kRows / 4;
    for (int i = ThreadIndex(); i < part_.tokens * kQuads; i += BlockThreads()) {
      const int token = i / kQuads, row = i % kQuads * 4;
      const int feature = part_.first_feature + row;
      if (feature >= p_.n) continue;
      const Shared<float> sums = memory_.template As<float>() + (token * kSumStride + row);
      auto sum = sums.template LoadPack<4>(0);
      for (int group = 1; group < Groups(); ++group) {
        const auto more = sums.template LoadPack<4>(group * kGroupFloats);
        QUIRE_UNROLL
        for (int j = 0; j < 4; ++j) sum[j] += more[j];
      }
      const int count = p_.n - feature < 4 ? p_.n - feature : 4;
      if (!p_.bias.is_null()) {
        QUIRE_UNROLL
        for (int j = 0; j < 4; ++j) {
          if (j < count) sum[j] += p_.bias.template Load<Cache::kReadOnly>(feature + j);
        }
      }
      const int64_t at = (part_.first_token + token) * p_.y_stride + feature;
      if (p_.y.is_null()) {
        StoreQuad(p_.y_float + at, sum, count);
      } else {
        StoreQuad(p_.y + at, sum, count);
      }
    }
  }

 private:
  static constexpr int kPack = kPackOf16Bytes<T>;
  static constexpr int kTileK = 8 * kPack;
  static constexpr int kGroupNumbers = Shape::kGroupBytes / static_cast<int>(sizeof(T));
  static constexpr int kGroupFloats = Shape::kGroupBytes / static_cast<int>(sizeof(float));
  // Chunks of a tile that a thread copies, all of one column.
  static constexpr int kWeightCopies = Shape::kRows * 8 / Shape::kGroupThreads;
  static constexpr int kTokenCopies = Shape::kTokens * 8 / Shape::kGroupThreads;
  // Of a token's sums: the lanes that store one register of a product hit all banks.
  static constexpr int kSumStride = Shape::kRows + 4;
  static_assert(Shape::kTokens * kSumStride <= kGroupFloats);

  QUIRE_DEVICE int Groups() const { return Shape::kSplitsSlices ? BlockWarps() : 1; }
  QUIRE_DEVICE int Group() const { return Shape::kSplitsSlices ? WarpIndex() : 0; }
  QUIRE_DEVICE int WarpRow() const {
    return Shape::kSplitsSlices ? 0 : WarpIndex() / Shape::kTokenWarps * Shape::kWarpRows;
  }
  QUIRE_DEVICE int WarpToken() const {
    return Shape::kSplitsSlices ? 0 : WarpIndex() % Shape::kTokenWarps * Shape::kWarpTokens;
  }
  QUIRE_DEVICE void GroupBarrier(Place place = Place::Here()) const {
    if constexpr (Shape::kSplitsSlices) {
      WarpBarrier(kAllLanes, place);
    } else {
      BlockBarrier(place);
    }
  }

  // The j-th chunk that this thread copies.
  QUIRE_DEVICE int Row(int j) const {
    return ThreadIndex() % Shape::kGroupThreads / 8 + j * (Shape::kGroupThreads / 8);
  }
  QUIRE_DEVICE int Chunk() const { return ThreadIndex() % 8; }
  QUIRE_DEVICE int ChunkNumbers(int tile) const {
    const int left = p_.k - tile * kTileK - Chunk() * kPack;
    return left < 0 ? 0 : left < kPack ? left : kPack;
  }
  // Of x, for a row of the tile; 0 where there is none.
  QUIRE_DEVICE int SourceRow(int row) const {
    if (row >= part_.tokens) return 0;
    const int64_t y_row = part_.first_token + row;
    if (p_.source_row.is_null()) return static_cast<int>(y_row);
    const int source = p_.source_row.Load(y_row);
    DeviceCheck(source >= 0 && source < p_.x_rows);
    return source;
  }
  QUIRE_DEVICE Shared<T> StageWeights(int stage) const {
    return group_ + stage * (Shape::kRows + Shape::kTokens) * kTileK;
  }
  QUIRE_DEVICE Shared<T> StageTokens(int stage) const {
    return StageWeights(stage) + Shape::kRows * kTileK;
  }

  // What does not exist is zero.
  QUIRE_DEVICE void CopyWeights(int tile, int stage) const {
    const int count = ChunkNumbers(tile), begin = tile * kTileK + Chunk() * kPack;
    const auto copy = [&](int j, auto aligned) {
      const int feature = part_.first_feature + Row(j);
      CopyChunk<aligned>(StageWeights(stage), TileIndex<T>(Row(j), Chunk()), p_.weight,
                         int64_t{feature} * p_.weight_stride + begin, feature < p_.n ? count : 0);
    };
    if (p_.weight_aligned) {
      QUIRE_UNROLL
      for (int j = 0; j < kWeightCopies; ++j) copy(j, std::true_type());
    } else {
      QUIRE_NO_UNROLL
      for (int j = 0; j < kWeightCopies; ++j) copy(j, std::false_type());
    }
  }
  QUIRE_DEVICE void CopyTokens(int tile, int stage) const {
    const int count = ChunkNumbers(tile), begin = tile * kTileK + Chunk() * kPack;
    const auto copy = [&](int j, int source, auto aligned) {
      CopyChunk<aligned>(StageTokens(stage), TileIndex<T>(Row(j), Chunk()), p_.x,
                         int64_t{source} * p_.x_stride + begin, Row(j) < part_.tokens ? count : 0);
    };
    if (p_.x_aligned) {
      QUIRE_UNROLL
      for (int j = 0; j < kTokenCopies; ++j) copy(j, source_[j], std::true_type());
    } else {
      QUIRE_NO_UNROLL
      for (int j = 0; j < kTokenCopies; ++j) copy(j, SourceRow(Row(j)), std::false_type());
    }
  }

  QUIRE_DEVICE void MultiplyTile(Shared<bf16> weights, Shared<bf16> tokens) {
    const int lane = LaneIndex();
    QUIRE_UNROLL
    for (int chunk = 0; chunk < 8; chunk += 2) {
      uint32_t a[Shape::kRowTiles][4];
      QUIRE_UNROLL
      for (int r = 0; r < Shape::kRowTiles; ++r) {
        LoadMatrix<4>(a[r], weights,
                      TileIndex<bf16>(WarpRow() + 16 * r + lane % 16, chunk + lane / 16));
      }
      if constexpr (Shape::kTokenTiles == 1) {
        uint32_t b[2];
        LoadMatrix<2>(b, tokens, TileIndex<bf16>(WarpToken() + lane % 8, chunk + lane / 8 % 2));
        MultiplyTokens(a, b, 0);
      } else {
        QUIRE_UNROLL
        for (int t = 0; t < Shape::kTokenTiles; t += 2) {
          uint32_t b[4];  // two tiles of 8 tokens
          LoadMatrix<4>(b, tokens,
                        TileIndex<bf16>(WarpToken() + 8 * t + lane / 16 * 8 + lane % 8,
                                        chunk + lane / 8 % 2));
          MultiplyTokens(a, {b[0], b[1]}, t);
          MultiplyTokens(a, {b[2], b[3]}, t + 1);
        }
      }
    }
  }
  QUIRE_DEVICE void MultiplyTokens(const uint32_t (&a)[Shape::kRowTiles][4], const uint32_t (&b)[2],
                                   int t) {
    QUIRE_UNROLL
    for (int r = 0; r < Shape::kRowTiles; ++r) MmaBf16(slice_[r][t], a[r], b);
  }

  // fp32: a lane's numbers are those that mma would give it.
  QUIRE_DEVICE void MultiplyTile(Shared<float> weights, Shared<float> tokens) {
    const int g = LaneIndex() / 4, column = LaneIndex() % 4 * 2;
    for (int chunk = 0; chunk < 8; ++chunk) {
      Pack<float, 4> w[Shape::kRowTiles][2];
      QUIRE_UNROLL
      for (int r = 0; r < 2 * Shape::kRowTiles; ++r) {
        w[r / 2][r % 2] = weights.LoadPack<4>(TileIndex<float>(WarpRow() + 8 * r + g, chunk));
      }
      QUIRE_UNROLL
      for (int i = 0; i < 2 * Shape::kTokenTiles; ++i) {
        const int token = WarpToken() + i / 2 * 8 + column + i % 2;
        const auto x = tokens.LoadPack<4>(TileIndex<float>(token, chunk));
        QUIRE_UNROLL
        for (int r = 0; r < 2 * Shape::kRowTiles; ++r) {
          float& sum = slice_[r / 2][i / 2][r % 2 * 2 + i % 2];
          QUIRE_UNROLL
          for (int j = 0; j < 4; ++j) sum = Fma(w[r / 2][r % 2][j], x[j], sum);
        }
      }
    }
  }

  QUIRE_DEVICE void EndSlice() {
    ForEachSum([&](int /*row*/, int /*token*/, float& slice, float& total) {
      total += slice;
      slice = 0.0F;
    });
  }
  QUIRE_DEVICE void PutSums() {
    const Shared<float> sums = group_.template As<float>();
    ForEachSum([&](int row, int token, float& /*slice*/, float& total) {
      sums.Store((WarpToken() + token) * kSumStride + WarpRow() + row, total);
    });
  }
  // visit(feature and token in the warp's tile, sums) for all that this lane has.
  template <typename Visit>
  QUIRE_DEVICE void ForEachSum(Visit visit) {
    const int g = LaneIndex() / 4, column = LaneIndex() % 4 * 2;
    QUIRE_UNROLL
    for (int r = 0; r < Shape::kRowTiles; ++r) {
      QUIRE_UNROLL
      for (int t = 0; t < Shape::kTokenTiles; ++t) {
        QUIRE_UNROLL
        for (int i = 0; i < 4; ++i) {
          visit(16 * r + i / 2 * 8 + g, 8 * t + column + i % 2, slice_[r][t][i], total_[r][t][i]);
        }
      }
    }
  }

  template <typename U>
  QUIRE_DEVICE void StoreQuad(Global<U> to, const Pack<float, 4>& values, int count) const {
    if (count == 4 && p_.y_aligned) {
      Pack<U, 4> pack;
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) pack[i] = Narrow<U>(values[i]);
      to.template StorePack<4>(0, pack);
      return;
    }
    QUIRE_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i < count) to.Store(i, Narrow<U>(values[i]));
    }
  }

  const GemmOperands<T>& p_;
  const GemmPart part_;
  const Shared<T> memory_;  // of all groups
  const Shared<T> group_;   // of this thread's
  int slice_tiles_;
  int begin_, end_;  // this group's tiles of K
  int source_[kTokenCopies];
  float slice_[Shape::kRowTiles][Shape::kTokenTiles][4] = {};
  float total_[Shape::kRowTiles][Shape::kTokenTiles][4] = {};
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_GEMM_TILE_CUH_
