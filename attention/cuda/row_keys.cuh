// Matrices of rows, and keys and values that are columns of one (an encoder's): tiles of them in
// shared memory, a token's dims side by side.
//
// Chunks of 8 dims are turned within a row (swizzle), and ldmatrix takes the tokens of a fragment
// in such an order that C holds the same ones as with pages (paged_keys.cuh):
//   column n of fragment j of 32 tokens is token 4n + j;
//   the step of 16 tokens s of 32 takes a lane's tokens 8t + 4s .. + 3;
//   column n of fragment j of 32 dims is dim 8j + n.
#ifndef QUIRE_ATTENTION_CUDA_ROW_KEYS_CUH_
#define QUIRE_ATTENTION_CUDA_ROW_KEYS_CUH_

#include <cstdint>

#include "attention/cuda/row_ranges.cuh"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/device_matrix.h"

namespace quire::QUIRE_CUDA_TARGET {

// A matrix in which heads stand side by side.
template <typename T>
struct RowMatrix {
  Global<T> data;
  int64_t stride;
  bool pairs;   // two numbers can be loaded at once, from even dims of heads
  bool chunks;  // 16 bytes, from multiples of that
};

// Heads begin at multiples of `cols` columns.
template <typename T>
RowMatrix<T> MakeRowMatrix(const DeviceMatrix& m, int cols) {
  const auto aligned = [&](int64_t bytes) {
    const auto size = static_cast<int64_t>(sizeof(T));
    return reinterpret_cast<uintptr_t>(m.data) % static_cast<uintptr_t>(bytes) == 0 &&
           (m.rows <= 1 || m.row_stride * size % bytes == 0) && cols * size % bytes == 0;
  };
  return {Global<T>(static_cast<T*>(m.data)), m.row_stride, aligned(2 * sizeof(T)), aligned(16)};
}

// The keys and values of one KV head of a sequence, whose rows begin at row `first_row`.
template <typename T>
class RowHead {
 public:
  QUIRE_DEVICE RowHead(const RowMatrix<const T>& rows, int first_row, int64_t key_column,
                       int64_t value_column, int head_dim, int value_dim)
      : rows_(rows),
        keys_(first_row * rows.stride + key_column),
        values_(first_row * rows.stride + value_column),
        head_dim_(head_dim),
        value_dim_(value_dim) {}

  // As those of a PagedHead.
  QUIRE_DEVICE int64_t KeyBegin(int position) const { return keys_ + position * rows_.stride; }
  QUIRE_DEVICE int64_t ValueBegin(int position) const { return values_ + position * rows_.stride; }
  QUIRE_DEVICE float Key(int64_t begin, int d) const {
    return ToFloat(rows_.data.template Load<Cache::kReadOnly>(begin + d));
  }
  QUIRE_DEVICE float Value(int64_t begin, int d) const { return Key(begin, d); }

 protected:
  const RowMatrix<const T>& rows_;
  int64_t keys_;
  int64_t values_;
  int head_dim_;
  int value_dim_;
};

template <int kTokens, int kKeyDim, int kValueDim>
struct RowTileLayout {
  // Rows have whole turns of 8 chunks.
  static constexpr int kKeyRow = (kKeyDim + 63) / 64 * 64;  // numbers
  static constexpr int kValueRow = (kValueDim + 63) / 64 * 64;
  static constexpr int kKeyWords = kTokens * kKeyRow / 2;
  static constexpr int kValueWords = kTokens * kValueRow / 2;

  // The number that chunk `chunk` of a token begins with. 8 tokens that ldmatrix takes at once,
  // 4 apart in keys and {0, 1} + 8r in values, are in 8 places.
  QUIRE_DEVICE static int KeyAt(int token, int chunk) {
    return token * kKeyRow + (chunk ^ (token / 4 % 8)) * 8;
  }
  QUIRE_DEVICE static int ValueAt(int token, int chunk) {
    return token * kValueRow + (chunk ^ (token / 8 % 4 * 2 + token % 2)) * 8;
  }

  QUIRE_DEVICE static void LoadKeys(Shared<uint32_t> tile, int block, int step,
                                    uint32_t (&fragments)[4][2]) {
    const int row = LaneIndex() % 8, matrix = LaneIndex() / 8;
    // A lane's numbers are a fixed way apart, but for the chunk among 8: row is how it is turned.
    const int first = KeyAt(4 * row + matrix / 2, 2 * (step % 4) + matrix % 2) + step / 4 * 64;
    QUIRE_UNROLL
    for (int j = 0; j < 4; j += 2) {
      uint32_t loaded[4];
      LoadMatrix<4>(loaded, tile.template As<bf16>(), first + (32 * block + j) * kKeyRow);
      Split(loaded, fragments[j], fragments[j + 1]);
    }
  }
  QUIRE_DEVICE static void LoadValues(Shared<uint32_t> tile, int block, int step, int dims,
                                      uint32_t (&fragments)[4][2]) {
    const int row = LaneIndex() % 8, matrix = LaneIndex() / 8;
    const int token = 8 * (row / 2) + row % 2 + matrix % 2 * 2;
    QUIRE_UNROLL
    for (int j = 0; j < 4; j += 2) {
      const int first = ValueAt(token, dims % 2 * 4 + j + matrix / 2) + dims / 2 * 64;
      uint32_t loaded[4];
      LoadMatrix<4, true>(loaded, tile.template As<bf16>(),
                          first + (32 * block + 4 * step) * kValueRow);
      Split(loaded, fragments[j], fragments[j + 1]);
    }
  }
  template <typename Visit>
  QUIRE_DEVICE static void VisitDims(int dims, const float (&c)[4][2], Visit visit) {
    QUIRE_UNROLL
    for (int j = 0; j < 4; ++j) visit(32 * dims + 8 * j + LaneIndex() % 4 * 2, c[j]);
  }

 private:
  QUIRE_DEVICE static void Split(const uint32_t (&loaded)[4], uint32_t (&first)[2],
                                 uint32_t (&second)[2]) {
    first[0] = loaded[0];
    first[1] = loaded[1];
    second[0] = loaded[2];
    second[1] = loaded[3];
  }
};

// As PagedTiles, of a RowHead.
template <int kTokens, int kKeyDim, int kValueDim, int kThreads>
class RowTiles : public RowHead<bf16> {
 public:
  using Layout = RowTileLayout<kTokens, kKeyDim, kValueDim>;
  using RowHead::RowHead;

  QUIRE_DEVICE void Load(Shared<uint32_t> keys, Shared<uint32_t> values, int begin,
                         KeySpan seen) const {
    for (int i = ThreadIndex(); i < kTokens * kKeyDim / 8; i += kThreads) {
      const int token = i / (kKeyDim / 8), chunk = i % (kKeyDim / 8);
      const bool there = seen.Holds(begin + token);
      LoadChunk(keys.As<bf16>(), Layout::KeyAt(token, chunk),
                there ? KeyBegin(begin + token) + 8 * chunk : 0, there ? head_dim_ - 8 * chunk : 0);
    }
    for (int i = ThreadIndex(); i < kTokens * kValueDim / 8; i += kThreads) {
      const int token = i / (kValueDim / 8), chunk = i % (kValueDim / 8);
      const bool there = seen.Holds(begin + token);
      LoadChunk(values.As<bf16>(), Layout::ValueAt(token, chunk),
                there ? ValueBegin(begin + token) + 8 * chunk : 0,
                there ? value_dim_ - 8 * chunk : 0);
    }
  }

 private:
  // The first `count` of 8 numbers, then zeros.
  QUIRE_DEVICE void LoadChunk(Shared<bf16> tile, int at, int64_t begin, int count) const {
    if (count <= 0) {
      CopyAsync<16>(tile, at, rows_.data, 0, 0);
    } else if (rows_.chunks) {
      CopyAsync<16>(tile, at, rows_.data, begin);
    } else {
      Pack<bf16, 8> pack;
      QUIRE_UNROLL
      for (int j = 0; j < 8; ++j) pack[j] = j < count ? rows_.data.Load(begin + j) : bf16{};
      tile.StorePack<8>(at, pack);
    }
  }
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_ROW_KEYS_CUH_
