// Un-absorbed latent attention of a chunk of keys that have been expanded, in bf16 on mma.sync: a
// block owns a head and the rows of an entry at 128 positions, which begin at a multiple of 128,
// however the prompt was cut. It walks the piece's keys in tiles of 64 at absolute multiples of
// 64: 2 x 128 x (D + Dv) FLOPs a key for 2 (D + Dv) bytes, so that the matrix units bound it.
//
// A warp's 16 rows see tiles whole up to the one that their diagonal cuts, in steps of 16 keys; of
// that step values that are no numbers are taken out of the product, and only rows that see their
// keys get them. So a row's bits depend on what it sees alone. The state of the softmax goes
// through memory from piece to piece as it is: where pieces begin changes nothing.
#ifndef QUIRE_ATTENTION_CUDA_MLA_PREFILL_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_PREFILL_CUH_

#include <cstdint>

#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_pieces.cuh"
#include "attention/cuda/mla_prefill_fma.cuh"
#include "attention/cuda/mla_softmax.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kPrefillThreads = 256;
inline constexpr int kPrefillRows = 128;
inline constexpr int kPrefillTile = kMlaPieceTokens;

// One block's work. kNope, kRope and kValue are Dn, Dr and Dv rounded up to what a row of shared
// memory holds: multiples of 64, 32 and 64.
template <int kNope, int kRope, int kValue>
class PrefillBlock {
 public:
  QUIRE_DEVICE PrefillBlock(const MlaPrefillParams& params, SharedMemory& memory)
      : p_(params), memory_(memory.Take<bf16>(2 * kStageNumbers)) {}

  static constexpr size_t SharedBytesOf() { return SharedBytes<bf16>(2 * kStageNumbers); }

  QUIRE_DEVICE void Run() {
    int block = static_cast<int>(BlockX());
    piece_ = FindPiece<PieceRows<kPrefillRows>>(p_.pieces, block);
    head_ = BlockY();
    const int first = (FirstSeeingPosition(piece_) / kPrefillRows + block) * kPrefillRows;
    position_ = first + WarpIndex() * 16;
    const int last_position =
        (first + kPrefillRows < piece_.kv_len ? first + kPrefillRows : piece_.kv_len) - 1;
    const int end_key = piece_.first_key + piece_.keys;
    const int last_key = last_position < end_key ? last_position : end_key - 1;
    const int first_tile = piece_.first_key / kPrefillTile;
    const int end_tile = last_key / kPrefillTile + 1;
    // The tile that the diagonal of the warp's rows cuts, and whether any of them is there.
    const int diagonal = position_ / kPrefillTile;
    const bool works = position_ < piece_.kv_len && position_ + 16 > FirstPosition(piece_);

    ClearPads();
    LoadQueries();
    LoadState();
    QUIRE_NO_UNROLL
    for (int tile = first_tile - 1; tile < end_tile; ++tile) {
      WaitForCopies<0>();
      BlockBarrier();  // the tile is there, and all are done with the one before it
      StartCopy(tile + 1, end_tile);
      if (!works || tile < first_tile || tile > diagonal) continue;
      const int last_step = tile < diagonal ? kPrefillTile / 16 : position_ % kPrefillTile / 16;
      // (Registers hold the scores of one run, and no more.)
      QUIRE_NO_UNROLL
      for (int first = 0; first < kPrefillTile / 16 && first <= last_step; first += kSteps) {
        if (last_step - first >= kSteps) {
          RunKeys</*kCut=*/false>(Stage(tile), first, kSteps - 1);
        } else {
          RunKeys</*kCut=*/true>(Stage(tile), first, last_step - first);
        }
      }
    }
    StoreRows(end_key);
  }

 private:
  // Of 16 keys, in a run: those between two looks at the softmax.
  static constexpr int kSteps = 2;
  static_assert(kPrefillTile / 16 % kSteps == 0);
  static constexpr int kNopeSteps = kNope / 16;
  static constexpr int kRopeSteps = kRope / 16;
  static constexpr int kValueTiles = kValue / 8;
  // Of a stage: unrotated keys [64, kNope], values [64, kValue], rotated keys [kRope / 2, 64]
  // words.
  static constexpr int kValuesBegin = kPrefillTile * kNope;
  static constexpr int kRopeBegin = kValuesBegin + kPrefillTile * kValue;
  static constexpr int kStageNumbers = kRopeBegin + kPrefillTile * kRope;
  static_assert(kNope % 64 == 0 && kRope % 16 == 0 && kValue % 64 == 0);

  // Where number `dim` of row `key` lies in a tile of rows of `width`: packs of 8 change places
  // from row to row, as ldmatrix likes them.
  QUIRE_DEVICE static int RowIndex(int width, int key, int dim) {
    return key * width + (((dim / 8) ^ (key & 7)) * 8) + dim % 8;
  }
  QUIRE_DEVICE Shared<bf16> Stage(int tile) const { return memory_ + tile % 2 * kStageNumbers; }
  QUIRE_DEVICE static Shared<uint32_t> RopeTile(Shared<bf16> stage) {
    return (stage + kRopeBegin).template As<uint32_t>();
  }

  // Of the thread's rows, `half` 0 or 1.
  QUIRE_DEVICE int Position(int half) const { return position_ + LaneIndex() / 4 + 8 * half; }
  QUIRE_DEVICE int64_t Row(int half) const {
    return int64_t{piece_.first_query} + Position(half) - FirstPosition(piece_);
  }
  // Whether there is such a row, and it sees keys of the piece.
  QUIRE_DEVICE bool HasRow(int half) const {
    return Position(half) >= FirstSeeingPosition(piece_) && Position(half) < piece_.kv_len;
  }

  // What no copy writes is zeros: it meets zeros of the queries, or columns that are not stored.
  QUIRE_DEVICE void ClearPads() const {
    if (p_.shape.nope_dim == kNope && p_.shape.rope_dim == kRope && p_.shape.value_dim == kValue) {
      return;
    }
    for (int i = 8 * ThreadIndex(); i < 2 * kStageNumbers; i += 8 * kPrefillThreads) {
      memory_.template StorePack<8>(i, {});
    }
    BlockBarrier();
  }

  QUIRE_DEVICE void LoadQueries() {
    QUIRE_UNROLL
    for (int i = 0; i < kNopeSteps + kRopeSteps; ++i) {
      const bool nope = i < kNopeSteps;
      const int first = nope ? i * 16 : (i - kNopeSteps) * 16;
      const int end = nope ? p_.shape.nope_dim : p_.shape.rope_dim;
      const int begin =
          head_ * p_.shape.head_dim() + (nope ? p_.shape.nope_begin() : p_.shape.rope_begin());
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int dim = first + LaneIndex() % 4 * 2 + j / 2 * 8;
        q_[i][j] = dim < end && HasRow(j % 2) ? p_.q.LoadBf16Pair(Row(j % 2), begin + dim) : 0;
      }
    }
  }

  QUIRE_DEVICE void LoadState() {
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const bool stored = piece_.first_key > 0 && HasRow(half);
      const int64_t at = stored ? p_.states.At(Row(half), head_) : 0;
      state_[half] = stored ? p_.states.Softmax(at) : EmptySoftmax();
      QUIRE_UNROLL
      for (int n = 0; n < kValueTiles; ++n) {
        const int dim = 8 * n + LaneIndex() % 4 * 2;
        Pack<float, 2> sums{};
        if (stored && dim < p_.shape.value_dim) {
          sums = p_.states.sums.template LoadPack<2>(at * p_.shape.value_dim + dim);
        }
        sums_[n][2 * half] = sums[0];
        sums_[n][2 * half + 1] = sums[1];
      }
    }
  }

  // Rows of the tile's keys: of the expanded ones, `dims` columns from `col` on.
  template <int kWidth>
  QUIRE_DEVICE void CopyRows(Shared<bf16> to, int tile, int64_t col, int dims) const {
    p_.packs ? CopyRowsBy<kWidth, 8>(to, tile, col, dims)
             : CopyRowsBy<kWidth, 2>(to, tile, col, dims);
  }
  template <int kWidth, int kPack>
  QUIRE_DEVICE void CopyRowsBy(Shared<bf16> to, int tile, int64_t col, int dims) const {
    constexpr int kRowPacks = kWidth / kPack;
    static_assert(kPrefillThreads % kRowPacks == 0);
    const int first_key = tile * kPrefillTile - piece_.first_key;
    const int dim = ThreadIndex() % kRowPacks * kPack;
    if (dim >= dims) return;
    QUIRE_NO_UNROLL
    for (int key = ThreadIndex() / kRowPacks; key < kPrefillTile;
         key += kPrefillThreads / kRowPacks) {
      const bool exists = first_key + key < piece_.keys;
      const int64_t row = exists ? int64_t{piece_.kv_row} + first_key + key : 0;
      CopyAsync<kPack * sizeof(bf16)>(to, RowIndex(kWidth, key, dim), p_.kv,
                                      row * p_.kv_stride + col + dim, exists ? kPack * 2 : 0);
    }
  }

  QUIRE_DEVICE void StartCopy(int tile, int end_tile) const {
    if (tile >= end_tile) return;
    const Shared<bf16> stage = Stage(tile);
    TileCopy<kPrefillTile> rope;
    rope.Find(p_.pages, p_.blocks + piece_.table_start, tile * kPrefillTile,
              piece_.first_key + piece_.keys);
    const int nope = p_.shape.nope_dim, values = p_.shape.value_dim;
    const int64_t col = int64_t{head_} * (nope + values);
    CopyRows<kNope>(stage, tile, col, nope);
    CopyRows<kValue>(stage + kValuesBegin, tile, col + nope, values);
    rope.Start(RopeTile(stage), p_.pages, p_.shape.key_rope_begin(head_) / 2,
               p_.shape.rope_dim / 2);
    CommitCopies();
  }

  // Steps [0, last_step] of the run that begins with the tile's step `first`; where kCut the
  // diagonal runs through the last.
  template <bool kCut>
  QUIRE_DEVICE void RunKeys(Shared<bf16> stage, int first, int last_step) {
    float scores[2 * kSteps][4] = {};
    Scores(stage, first, last_step, scores);
    uint32_t p[kSteps][4];
    Softmax<kCut>(last_step, scores, p);
    QUIRE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (kCut && step == last_step) {
        AddValues</*kCut=*/true>(stage, first + step, p[step]);
      } else if (step <= last_step) {
        AddValues</*kCut=*/false>(stage, first + step, p[step]);
      }
    }
  }

  QUIRE_DEVICE void Scores(Shared<bf16> stage, int first_step, int last_step,
                           float (&scores)[2 * kSteps][4]) const {
    const int lane = LaneIndex(), key = 16 * first_step;
    QUIRE_UNROLL
    for (int i = 0; i < kNopeSteps; ++i) {
      if (i * 16 >= p_.shape.nope_dim) break;
      // What a lane reads is a fixed way apart, but for the place among 8 packs.
      const int first = RowIndex(kNope, lane / 16 * 8 + lane % 8, i % 4 * 16 + lane / 8 % 2 * 8) +
                        i / 4 * 64 + key * kNope;
      QUIRE_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if (step > last_step) break;
        uint32_t k[4];
        LoadMatrix(k, stage, first + 16 * step * kNope);
        MmaPair(scores[2 * step], scores[2 * step + 1], q_[i], k);
      }
    }
    const Shared<uint32_t> rope = RopeTile(stage);
    QUIRE_UNROLL
    for (int i = 0; i < kRopeSteps; ++i) {
      if (i * 16 >= p_.shape.rope_dim) break;
      QUIRE_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if (step > last_step) break;
        uint32_t k[4];
        QUIRE_UNROLL
        for (int j = 0; j < 4; ++j) {
          const int first =
              TokenTileIndex<kPrefillTile>(lane % 4, 16 * step + j / 2 * 8 + lane / 4);
          k[j] = rope.Load(first + (8 * i + j % 2 * 4) * kPrefillTile + key);
        }
        MmaPair(scores[2 * step], scores[2 * step + 1], q_[kNopeSteps + i], k);
      }
    }
  }

  QUIRE_DEVICE static void MmaPair(float (&first)[4], float (&second)[4], const uint32_t (&a)[4],
                                   const uint32_t (&b)[4]) {
    MmaBf16(first, a, {b[0], b[1]});
    MmaBf16(second, a, {b[2], b[3]});
  }

  // p = probabilities as the left operand of the product with the values; and the state's part.
  template <bool kCut>
  QUIRE_DEVICE void Softmax(int last_step, float (&scores)[2 * kSteps][4],
                            uint32_t (&p)[kSteps][4]) {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      float most = MinusInfinity();
      QUIRE_UNROLL
      for (int n = 0; n < 2 * kSteps; ++n) {
        QUIRE_UNROLL
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          if (kCut && (n / 2 > last_step ||
                       (n / 2 == last_step && n % 2 * 8 + 2 * t + j % 2 > g + 8 * half))) {
            scores[n][j] = MinusInfinity();
          }
          most = Maximum()(most, scores[n][j]);
        }
      }
      most = WarpReduce<4>(most, Maximum()) * p_.scale_log2;
      SoftmaxState& state = state_[half];
      if (!(most > state.m)) most = state.m;
      const float base = MaximumBase(most);
      const float factor = FastExp2(state.m - base);
      float sum = 0.0F;
      QUIRE_UNROLL
      for (int n = 0; n < 2 * kSteps; ++n) {
        QUIRE_UNROLL
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          scores[n][j] = FastExp2(Fma(scores[n][j], p_.scale_log2, -base));
          sum += scores[n][j];
        }
        p[n / 2][n % 2 * 2 + half] = PackBf16(scores[n][2 * half], scores[n][2 * half + 1]);
      }
      state.l = Fma(state.l, factor, WarpReduce<4>(sum, Plus()));
      state.m = most;
      QUIRE_UNROLL
      for (int n = 0; n < kValueTiles; ++n) {
        sums_[n][2 * half] *= factor;
        sums_[n][2 * half + 1] *= factor;
      }
    }
  }

  // sums_ += p v of 16 keys.
  template <bool kCut>
  QUIRE_DEVICE void AddValues(Shared<bf16> stage, int step, const uint32_t (&p)[4]) {
    const Shared<bf16> values = stage + kValuesBegin;
    const int lane = LaneIndex();
    bool all_numbers = true;
    QUIRE_UNROLL
    for (int n = 0; n < kValueTiles; n += 2) {
      if (n * 8 >= p_.shape.value_dim) break;
      uint32_t v[4];
      const int first = RowIndex(kValue, lane % 16, n % 8 * 8 + lane / 16 * 8);
      LoadMatrix<4, /*kTransposed=*/true>(v, values, first + 16 * step * kValue + n / 8 * 64);
      if (kCut) {
        QUIRE_UNROLL
        for (uint32_t& pair : v) {
          const uint32_t numbers = NumbersOf(pair);
          all_numbers = all_numbers && numbers == pair;
          pair = numbers;
        }
      }
      MmaPair(sums_[n], sums_[n + 1], p, v);
    }
    if (kCut && AnyLane(!all_numbers)) AddNoNumbers(values, step, p);
  }

  // What AddValues took out, where it is seen.
  QUIRE_DEVICE void AddNoNumbers(Shared<bf16> values, int step, const uint32_t (&p)[4]) {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    QUIRE_NO_UNROLL
    for (int key = 0; key < 16; ++key) {
      const int lane = LaneIndex() / 4 * 4 + key % 8 / 2;
      const uint32_t pairs[2] = {ShuffleFrom(key < 8 ? p[0] : p[2], lane),
                                 ShuffleFrom(key < 8 ? p[1] : p[3], lane)};
      const float probability[2] = {key % 2 == 0 ? LowBf16(pairs[0]) : HighBf16(pairs[0]),
                                    key % 2 == 0 ? LowBf16(pairs[1]) : HighBf16(pairs[1])};
      QUIRE_UNROLL
      for (int n = 0; n < kValueTiles; ++n) {
        const uint32_t v =
            values.As<uint32_t>().Load(RowIndex(kValue, 16 * step + key, 8 * n + 2 * t) / 2);
        QUIRE_UNROLL
        for (int j = 0; j < 4; ++j) {
          if (!NoNumber(j % 2 == 0 ? v : v >> 16) || key > g + j / 2 * 8) continue;
          sums_[n][j] = Fma(probability[j / 2], j % 2 == 0 ? LowBf16(v) : HighBf16(v), sums_[n][j]);
        }
      }
    }
  }

  QUIRE_DEVICE void StoreRows(int end_key) const {
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      if (!HasRow(half)) continue;
      const bool done = Position(half) < end_key;
      const int64_t at = done ? 0 : p_.states.At(Row(half), head_);
      if (!done && LaneIndex() % 4 == 0) p_.states.StoreSoftmax(at, state_[half]);
      QUIRE_UNROLL
      for (int n = 0; n < kValueTiles; ++n) {
        const int dim = 8 * n + LaneIndex() % 4 * 2;
        if (dim >= p_.shape.value_dim) continue;
        const float first = sums_[n][2 * half], second = sums_[n][2 * half + 1];
        if (done) {
          const float l = state_[half].l;
          p_.out.StorePair(Row(half), int64_t{head_} * p_.shape.value_dim + dim,
                           Normalised(first, l), Normalised(second, l));
        } else {
          p_.states.sums.template StorePack<2>(at * p_.shape.value_dim + dim, {{first, second}});
        }
      }
    }
  }

  const MlaPrefillParams& p_;
  const Shared<bf16> memory_;  // 2 stages
  MlaPiece piece_;
  int head_;
  int position_;  // of the warp's first row
  uint32_t q_[kNopeSteps + kRopeSteps][4];
  SoftmaxState state_[2];
  float sums_[kValueTiles][4];
};

template <typename Block>
QUIRE_KERNEL(kPrefillThreads, 1)
void MlaPrefillKernel(MlaPrefillParams p) {
  SharedMemory memory;
  Block block(p, memory);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  block.Run();
}

// The pieces of one launch are of entries of their own. Sizes beyond 128, 64 and 128 take FMAs.
template <typename Launcher>
void LaunchMlaPrefill(Launcher& launcher, const MlaPrefillArgs& args) {
  const MlaShape& shape = args.shape;
  if (args.pages.dtype == DType::kFloat32) return LaunchMlaPrefillFma<float>(launcher, args);
  if (shape.nope_dim > 128 || shape.rope_dim > 64 || shape.value_dim > 128) {
    return LaunchMlaPrefillFma<bf16>(launcher, args);
  }
  const auto launch = [&]<typename Block>(Block*) {
    static_assert(Block::SharedBytesOf() <= kLeastSharedBytes);
    launcher.Launch(
        LaunchShape{.name = "mla_prefill",
                    .grid = {.x = CountPieceBlocks<PieceRows<kPrefillRows>>(args.pieces),
                             .y = shape.num_heads},
                    .threads = kPrefillThreads,
                    .shared_bytes = Block::SharedBytesOf(),
                    .overlaps_earlier = true},
        &MlaPrefillKernel<Block>, MlaPrefillParams(args));
  };
  if (shape.nope_dim <= 64 && shape.rope_dim <= 32 && shape.value_dim <= 64) {
    launch(static_cast<PrefillBlock<64, 32, 64>*>(nullptr));
  } else {
    launch(static_cast<PrefillBlock<128, 64, 128>*>(nullptr));
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_PREFILL_CUH_
