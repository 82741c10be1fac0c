// Un-absorbed latent attention with FMAs, for fp32 and for sizes that mla_prefill.cuh has no room
// for: a warp owns a row and head, and walks the piece's keys in tiles of 32 at absolute multiples
// of 32. For scores a lane owns a key, for values every 32nd dim. It is as slow as that sounds.
#ifndef QUIRE_ATTENTION_CUDA_MLA_PREFILL_FMA_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_PREFILL_FMA_CUH_

#include <bit>
#include <cstdint>
#include <type_traits>

#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_pieces.cuh"
#include "attention/cuda/mla_softmax.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kPrefillFmaWarps = 8;
inline constexpr int kPrefillFmaLaneDims = kMlaMostValueDim / kWarpLanes;

template <typename T>
struct MlaPrefillParamsOf {
  MlaPieces pieces;
  Numbers q;
  Numbers out;
  MlaShape shape;
  float scale_log2;
  PageWords pages;
  Global<const int32_t> blocks;
  Global<const T> kv;
  int64_t kv_stride;
  bool packs;  // 16 bytes of a head's keys or values are one access
  PrefillStates states;

  explicit MlaPrefillParamsOf(const MlaPrefillArgs& args)
      : pieces(args.pieces),
        q(args.q),
        out(args.out),
        shape(args.shape),
        scale_log2(args.scale * kLog2OfE),
        pages(args.pages),
        blocks(args.blocks.data),
        kv(static_cast<const T*>(args.kv.data)),
        kv_stride(args.kv.row_stride),
        packs(reinterpret_cast<uintptr_t>(args.kv.data) % 16 == 0 && kv_stride % 8 == 0 &&
              shape.nope_dim % 8 == 0 && shape.value_dim % 8 == 0),
        states(args.states, args.q.rows, args.shape) {}
};
using MlaPrefillParams = MlaPrefillParamsOf<bf16>;

// One warp's row and head.
template <typename T>
class PrefillFmaRow {
 public:
  QUIRE_DEVICE PrefillFmaRow(const MlaPrefillParamsOf<T>& params, const MlaPiece& piece,
                             int position)
      : p_(params),
        piece_(piece),
        position_(position),
        row_(int64_t{piece.first_query} + position - FirstPosition(piece)),
        head_(BlockY()),
        kv_col_(int64_t{head_} * (params.shape.nope_dim + params.shape.value_dim)) {}

  QUIRE_DEVICE void Run() {
    const int64_t at = p_.states.At(row_, head_);
    const int width = p_.shape.value_dim;
    SoftmaxState state = piece_.first_key > 0 ? p_.states.Softmax(at) : EmptySoftmax();
    ForEachDim([&](int i, int dim) {
      sums_[i] = piece_.first_key > 0 ? p_.states.sums.Load(at * width + dim) : 0.0F;
    });
    const int piece_end = piece_.first_key + piece_.keys;
    const int end = position_ < piece_end ? position_ + 1 : piece_end;
    for (int key = piece_.first_key; key < end; key += kWarpLanes) AddTile(key, end, state);
    if (position_ < piece_end) {
      ForEachDim([&](int i, int dim) {
        p_.out.Store(row_, int64_t{head_} * width + dim, Normalised(sums_[i], state.l));
      });
    } else {
      if (LaneIndex() == 0) p_.states.StoreSoftmax(at, state);
      ForEachDim([&](int i, int dim) { p_.states.sums.Store(at * width + dim, sums_[i]); });
    }
  }

 private:
  // visit(number, dim) for the values' dims of the lane.
  template <typename Visit>
  QUIRE_DEVICE void ForEachDim(Visit visit) const {
    QUIRE_UNROLL
    for (int i = 0; i < kPrefillFmaLaneDims; ++i) {
      const int dim = LaneIndex() + i * kWarpLanes;
      if (dim < p_.shape.value_dim) visit(i, dim);
    }
  }

  // Keys [first, min(first + 32, end)).
  QUIRE_DEVICE void AddTile(int first, int end, SoftmaxState& state) {
    const bool seen = first + LaneIndex() < end;
    const float score = seen ? Score(first + LaneIndex()) : MinusInfinity();
    float most = WarpReduce(score, Maximum()) * p_.scale_log2;
    if (!(most > state.m)) most = state.m;
    const float base = MaximumBase(most);
    const float probability = seen ? FastExp2(Fma(score, p_.scale_log2, -base)) : 0.0F;
    const float factor = FastExp2(state.m - base);
    state.l = Fma(state.l, factor, WarpReduce(probability, Plus()));
    state.m = most;
    ForEachDim([&](int i, int /*dim*/) { sums_[i] *= factor; });
    for (int key = first; key < end && key < first + kWarpLanes; ++key) {
      const float p = ShuffleFrom(probability, key - first);
      const int64_t v = KvAt(key) + p_.shape.nope_dim;
      ForEachDim(
          [&](int i, int dim) { sums_[i] = Fma(p, ToFloat(p_.kv.Load(v + dim)), sums_[i]); });
    }
  }

  QUIRE_DEVICE int64_t KvAt(int key) const {
    return (int64_t{piece_.kv_row} + key - piece_.first_key) * p_.kv_stride + kv_col_;
  }

  QUIRE_DEVICE float Score(int key) const {
    const int64_t q = int64_t{head_} * p_.shape.head_dim();
    const int64_t k = KvAt(key);
    float sum = 0.0F;
    for (int d = 0; d < p_.shape.nope_dim; ++d) {
      sum = Fma(p_.q.Load(row_, q + p_.shape.nope_begin() + d), ToFloat(p_.kv.Load(k + d)), sum);
    }
    const int64_t token = p_.pages.At(p_.blocks + piece_.table_start, key);
    constexpr int kPair = 4 / static_cast<int>(sizeof(T));
    for (int d = 0; d < p_.shape.rope_dim; d += kPair) {
      const int64_t word = (p_.shape.key_rope_begin(head_) + d) / kPair;
      const uint32_t bits = p_.pages.words.Load(token + word * p_.pages.block_tokens);
      const int64_t q_rope = q + p_.shape.rope_begin() + d;
      if constexpr (kPair == 1) {
        sum = Fma(p_.q.Load(row_, q_rope), std::bit_cast<float>(bits), sum);
      } else {
        sum = Fma(p_.q.Load(row_, q_rope), LowBf16(bits), sum);
        sum = Fma(p_.q.Load(row_, q_rope + 1), HighBf16(bits), sum);
      }
    }
    return sum;
  }

  const MlaPrefillParamsOf<T>& p_;
  const MlaPiece& piece_;
  const int position_;
  const int64_t row_;
  const int head_;
  const int64_t kv_col_;
  float sums_[kPrefillFmaLaneDims];
};

// Block (8 positions of a piece's entry, head).
template <typename T>
QUIRE_KERNEL(kPrefillFmaWarps* kWarpLanes, 3)
void MlaPrefillFmaKernel(MlaPrefillParamsOf<T> p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  int block = static_cast<int>(BlockX());
  const MlaPiece piece = FindPiece<PieceRows<kPrefillFmaWarps>>(p.pieces, block);
  const int first = FirstSeeingPosition(piece);
  const int position = (first / kPrefillFmaWarps + block) * kPrefillFmaWarps + WarpIndex();
  if (position >= first && position < piece.kv_len) {
    PrefillFmaRow<T>(p, piece, position).Run();
  }
}

template <typename T, typename Launcher>
void LaunchMlaPrefillFma(Launcher& launcher, const MlaPrefillArgs& args) {
  launcher.Launch(
      LaunchShape{.name = "mla_prefill_fma",
                  .grid = {.x = CountPieceBlocks<PieceRows<kPrefillFmaWarps>>(args.pieces),
                           .y = args.shape.num_heads},
                  .threads = kPrefillFmaWarps * kWarpLanes,
                  .overlaps_earlier = true},
      &MlaPrefillFmaKernel<T>, MlaPrefillParamsOf<T>(args));
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_PREFILL_FMA_CUH_
