// The two products of absorbed latent attention over a tile in shared memory (mla_absorbed.cuh), in
// two forms: matrix instructions for caches of bf16, FMAs for those of fp32.
//
// Both leave sums of values alike: sums[i][j][..] of a thread belong to heads lane / 4 (numbers 0
// and 1) and lane / 4 + 8 (2 and 3), and to dims ValueDim(i) + j and ValueDim(i) + 2 + j.
#ifndef QUIRE_ATTENTION_CUDA_MLA_ABSORBED_PRODUCTS_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_ABSORBED_PRODUCTS_CUH_

#include <bit>
#include <cstdint>

#include "attention/cuda/mla_combine.cuh"
#include "attention/cuda/mla_softmax.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// The first of the four dims of this thread in group `i` of 16 a warp.
QUIRE_DEVICE int ValueDim(int i) {
  return (WarpIndex() + i * kAbsorbedWarps) * 16 + LaneIndex() % 4 * 4;
}

// Dims of the cache row that all heads share, and that tiles hold.
QUIRE_HOST_DEVICE int SharedKeyDims(const MlaShape& shape) {
  return shape.latent_dim + (shape.rope_per_head ? 0 : shape.rope_dim);
}

// A number of the query that meets dim `dim` of the cache row: rows of q_latent, then q.
QUIRE_DEVICE int64_t RopeQueryDim(const MlaShape& shape, int head, int dim) {
  return int64_t{head} * shape.head_dim() + shape.rope_begin() + dim - shape.latent_dim;
}

// With mma.sync: steps of 16 dims of q k^T, dealt out to the warps, at most kSteps a warp; groups
// of 16 dims of p v likewise, at most kMostGroups.
//
// The tile's words are pairs of dims of a token. A word is as it stands the register of k in q k^T;
// of p v it has the halves of two registers, for even and for odd dims, which are columns of
// two products.
template <int kSteps, int kMostGroups>
class MmaProducts {
 public:
  static constexpr int kGroups = kMostGroups;
  static constexpr int kMinBlocks = 2;

  QUIRE_DEVICE MmaProducts(const AbsorbedParams& params, SharedMemory& memory)
      : p_(params),
        steps_((SharedKeyDims(params.shape) + 15) / 16),
        scores_(memory.template Take<float>(kAbsorbedWarps * kAbsorbedHeads * kScoreStride)),
        probabilities_(memory.template Take<bf16>(kAbsorbedHeads * kProbabilityStride)) {}

  static constexpr size_t SharedBytesOf() {
    return SharedBytes<float>(kAbsorbedWarps * kAbsorbedHeads * kScoreStride) +
           SharedBytes<bf16>(kAbsorbedHeads * kProbabilityStride);
  }
  // What of a tile is copied, and what it has room for.
  QUIRE_HOST_DEVICE static int ScoreWords(const MlaShape& shape) {
    return SharedKeyDims(shape) / 2;
  }
  QUIRE_HOST_DEVICE static int TileWords(const MlaShape& shape) {
    return (SharedKeyDims(shape) + 15) / 16 * 8;
  }

  QUIRE_DEVICE void LoadQueries(int64_t row, int first_head) {
    QUIRE_UNROLL
    for (int i = 0; i < kSteps; ++i) {
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int head = first_head + LaneIndex() / 4 + j % 2 * 8;
        const int dim = Step(i) * 16 + LaneIndex() % 4 * 2 + j / 2 * 8;
        q_[i][j] = head < p_.shape.num_heads ? QueryPair(row, head, dim) : 0;
      }
    }
  }

  // The warp's share of the tile's scores, to shared memory.
  QUIRE_DEVICE void Scores(Shared<uint32_t> tile) const {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    float sums[kAbsorbedTile / 8][4] = {};
    QUIRE_UNROLL
    for (int i = 0; i < kSteps; ++i) {
      if (Step(i) >= steps_) break;
      const int word = Step(i) * 8 + t;
      QUIRE_UNROLL
      for (int n = 0; n < kAbsorbedTile / 8; ++n) {
        const uint32_t k[2] = {tile.Load(TokenTileIndex<kAbsorbedTile>(word, 8 * n + g)),
                               tile.Load(TokenTileIndex<kAbsorbedTile>(word + 4, 8 * n + g))};
        MmaBf16(sums[n], q_[i], k);
      }
    }
    QUIRE_UNROLL
    for (int n = 0; n < kAbsorbedTile / 8; ++n) {
      const int at = ScoreAt(WarpIndex(), g) + 8 * n + 2 * t;
      scores_.template StorePack<2>(at, {{sums[n][0], sums[n][1]}});
      scores_.template StorePack<2>(at + 8 * kScoreStride, {{sums[n][2], sums[n][3]}});
    }
  }

  // Behind a barrier: that of the lane's token and head `i` of the warp's, all warps' shares added.
  QUIRE_DEVICE float Score(int i) const {
    const int head = WarpIndex() * (kAbsorbedHeads / kAbsorbedWarps) + i;
    float shares[kAbsorbedWarps];
    QUIRE_UNROLL
    for (int warp = 0; warp < kAbsorbedWarps; ++warp) {
      shares[warp] = scores_.Load(ScoreAt(warp, head) + LaneIndex());
    }
    QUIRE_UNROLL
    for (int n = kAbsorbedWarps / 2; n > 0; n /= 2) {
      QUIRE_UNROLL
      for (int j = 0; j < n; ++j) shares[j] += shares[j + n];
    }
    return shares[0];
  }

  // q_r k_r of a key of the head's own: numbers [q, q + Dr) of q's row, dims [key, key + Dr) of the
  // token whose words begin at `token`.
  QUIRE_DEVICE float RopeScore(const Numbers& q, int64_t row, int64_t q_dim, int64_t token,
                               int key) const {
    float sum = 0.0F;
    QUIRE_NO_UNROLL
    for (int d = 0; d < p_.shape.rope_dim; d += 2) {
      const uint32_t k =
          p_.pages.words.Load(token + int64_t{(key + d) / 2} * p_.pages.block_tokens);
      sum = Fma(q.Load(row, q_dim + d), LowBf16(k), sum);
      sum = Fma(q.Load(row, q_dim + d + 1), HighBf16(k), sum);
    }
    return sum;
  }

  QUIRE_DEVICE void StoreProbability(int head, float probability) const {
    probabilities_.Store(head * kProbabilityStride + LaneIndex(), Narrow<bf16>(probability));
  }

  // sums = sums factors + p v. Behind a barrier, too.
  QUIRE_DEVICE void AddValues(Shared<uint32_t> tile, Shared<float> factors,
                              float (&sums)[kGroups][2][4]) const {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    const float factor[2] = {factors.Load(g), factors.Load(g + 8)};
    uint32_t p[kAbsorbedTile / 16][4];
    QUIRE_UNROLL
    for (int k = 0; k < kAbsorbedTile / 16; ++k) {
      LoadMatrix(p[k], probabilities_,
                 LaneIndex() % 16 * kProbabilityStride + 16 * k + LaneIndex() / 16 * 8);
    }
    QUIRE_UNROLL
    for (int i = 0; i < kGroups; ++i) {
      const int group = WarpIndex() + i * kAbsorbedWarps;
      if (group * 16 >= p_.shape.latent_dim) break;
      QUIRE_UNROLL
      for (int j = 0; j < 8; ++j) sums[i][j / 4][j % 4] *= factor[j % 4 / 2];
      QUIRE_UNROLL
      for (int k = 0; k < kAbsorbedTile / 16; ++k) {
        uint32_t even[2], odd[2];
        QUIRE_UNROLL
        for (int half = 0; half < 2; ++half) {
          const auto tokens = tile.template LoadPack<2>(
              TokenTileIndex<kAbsorbedTile>(8 * group + g, 16 * k + 8 * half + 2 * t));
          even[half] = (tokens[0] & 0xffffU) | (tokens[1] << 16);
          odd[half] = (tokens[0] >> 16) | (tokens[1] & 0xffff0000U);
        }
        MmaBf16(sums[i][0], p[k], even);
        MmaBf16(sums[i][1], p[k], odd);
      }
    }
  }

 private:
  // Rows of scores and probabilities that begin in other banks.
  static constexpr int kScoreStride = kAbsorbedTile + 8;
  static constexpr int kProbabilityStride = kAbsorbedTile + 8;

  QUIRE_DEVICE static int Step(int i) { return WarpIndex() + i * kAbsorbedWarps; }
  QUIRE_DEVICE static int ScoreAt(int warp, int head) {
    return (warp * kAbsorbedHeads + head) * kScoreStride;
  }
  QUIRE_DEVICE uint32_t QueryPair(int64_t row, int head, int dim) const {
    const int latent = p_.shape.latent_dim;
    if (dim < latent) return p_.q_latent.LoadBf16Pair(row, int64_t{head} * latent + dim);
    if (dim >= SharedKeyDims(p_.shape)) return 0;
    return p_.q.LoadBf16Pair(row, RopeQueryDim(p_.shape, head, dim));
  }

  const AbsorbedParams& p_;
  const int steps_;
  const Shared<float> scores_;        // [8, 16, kScoreStride]
  const Shared<bf16> probabilities_;  // [16, kProbabilityStride]
  uint32_t q_[kSteps][4];
};

// With FMAs, of fp32: a lane a token of q k^T, and of p v the same numbers as MmaProducts.
template <int kMostGroups>
class FmaProducts {
 public:
  static constexpr int kGroups = kMostGroups;
  static constexpr int kMinBlocks = 1;

  QUIRE_DEVICE FmaProducts(const AbsorbedParams& params, SharedMemory& memory)
      : p_(params), probabilities_(memory.template Take<float>(kAbsorbedHeads * kAbsorbedTile)) {}

  static constexpr size_t SharedBytesOf() {
    return SharedBytes<float>(kAbsorbedHeads * kAbsorbedTile);
  }
  QUIRE_HOST_DEVICE static int ScoreWords(const MlaShape& shape) { return SharedKeyDims(shape); }
  QUIRE_HOST_DEVICE static int TileWords(const MlaShape& shape) {
    return (SharedKeyDims(shape) + 15) / 16 * 16;
  }

  QUIRE_DEVICE void LoadQueries(int64_t row, int first_head) {
    const int dims = SharedKeyDims(p_.shape), latent = p_.shape.latent_dim;
    QUIRE_UNROLL
    for (int i = 0; i < kWarpHeads; ++i) {
      const int head = first_head + WarpIndex() * kWarpHeads + i;
      QUIRE_UNROLL
      for (int j = 0; j < kQueryRegisters; ++j) {
        const int dim = j * kWarpLanes + LaneIndex();
        q_[i][j] = 0.0F;
        if (head >= p_.shape.num_heads || dim >= dims) continue;
        q_[i][j] = dim < latent ? p_.q_latent.Load(row, int64_t{head} * latent + dim)
                                : p_.q.Load(row, RopeQueryDim(p_.shape, head, dim));
      }
    }
  }

  QUIRE_DEVICE void Scores(Shared<uint32_t> tile) {
    const int dims = SharedKeyDims(p_.shape);
    QUIRE_UNROLL
    for (int i = 0; i < kWarpHeads; ++i) scores_[i] = 0.0F;
    QUIRE_UNROLL
    for (int j = 0; j < kQueryRegisters; ++j) {
      const int left = dims - j * kWarpLanes;
      QUIRE_NO_UNROLL
      for (int lane = 0; lane < kWarpLanes && lane < left; ++lane) {
        const float k = std::bit_cast<float>(
            tile.Load(TokenTileIndex<kAbsorbedTile>(j * kWarpLanes + lane, LaneIndex())));
        QUIRE_UNROLL
        for (int i = 0; i < kWarpHeads; ++i) {
          scores_[i] = Fma(ShuffleFrom(q_[i][j], lane), k, scores_[i]);
        }
      }
    }
  }

  QUIRE_DEVICE float Score(int i) const { return scores_[i]; }

  QUIRE_DEVICE float RopeScore(const Numbers& q, int64_t row, int64_t q_dim, int64_t token,
                               int key) const {
    float sum = 0.0F;
    for (int d = 0; d < p_.shape.rope_dim; ++d) {
      const uint32_t k = p_.pages.words.Load(token + int64_t{key + d} * p_.pages.block_tokens);
      sum = Fma(q.Load(row, q_dim + d), std::bit_cast<float>(k), sum);
    }
    return sum;
  }

  QUIRE_DEVICE void StoreProbability(int head, float probability) const {
    probabilities_.Store(head * kAbsorbedTile + LaneIndex(), probability);
  }

  QUIRE_DEVICE void AddValues(Shared<uint32_t> tile, Shared<float> factors,
                              float (&sums)[kGroups][2][4]) const {
    const int g = LaneIndex() / 4;
    const float factor[2] = {factors.Load(g), factors.Load(g + 8)};
    QUIRE_UNROLL
    for (int i = 0; i < kGroups; ++i) {
      if ((WarpIndex() + i * kAbsorbedWarps) * 16 >= p_.shape.latent_dim) break;
      QUIRE_UNROLL
      for (int j = 0; j < 8; ++j) sums[i][j / 4][j % 4] *= factor[j % 4 / 2];
      for (int token = 0; token < kAbsorbedTile; ++token) {
        const float p[2] = {probabilities_.Load(g * kAbsorbedTile + token),
                            probabilities_.Load((g + 8) * kAbsorbedTile + token)};
        QUIRE_UNROLL
        for (int d = 0; d < 4; ++d) {
          const float v = std::bit_cast<float>(
              tile.Load(TokenTileIndex<kAbsorbedTile>(ValueDim(i) + d, token)));
          QUIRE_UNROLL
          for (int half = 0; half < 2; ++half) {
            float& sum = sums[i][d % 2][2 * half + d / 2];
            sum = Fma(p[half], v, sum);
          }
        }
      }
    }
  }

 private:
  static constexpr int kWarpHeads = kAbsorbedHeads / kAbsorbedWarps;
  static constexpr int kQueryRegisters = kMlaAbsorbedMostDims / kWarpLanes;

  const AbsorbedParams& p_;
  const Shared<float> probabilities_;     // [16, 32]
  float q_[kWarpHeads][kQueryRegisters];  // of the warp's heads, a lane every 32nd dim
  float scores_[kWarpHeads];
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_ABSORBED_PRODUCTS_CUH_
