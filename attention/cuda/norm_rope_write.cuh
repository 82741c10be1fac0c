// QK-norm, rotation and the cache write from the merged row, in one pass over it: a warp owns one
// head of a few neighbouring rows, a group of its lanes the head of one row. Values are heads like
// the others. With a norm over the full width a block owns a row.
//
// They stream, about ten FLOPs per byte. Neighbouring rows share a warp because a page holds the
// dims of neighbouring tokens side by side: their writes meet in the same sectors.
#ifndef QUIRE_ATTENTION_CUDA_NORM_ROPE_WRITE_CUH_
#define QUIRE_ATTENTION_CUDA_NORM_ROPE_WRITE_CUH_

#include <cstdint>

#include "attention/cuda/head_units.cuh"
#include "attention/cuda/rope_args.h"
#include "attention/cuda/token_place.cuh"
#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kNormRopeThreads = 128;
inline constexpr int kFullWidthThreads = 512;

template <typename T>
struct NormRopeParams {
  Global<T> qkv;
  int64_t qkv_stride;
  int64_t rows;  // T
  int num_heads;
  int num_kv_heads;
  HeadShape head;   // of queries and keys
  HeadShape value;  // of values
  HeadNormArgs norm;
  Rotation rotation;
  Global<const int32_t> rope_rows;
  Global<T> q2;
  int64_t q2_stride;
  Global<const int32_t> rope_rows2;
  Global<const int64_t> slots;
  PagedKvView kv;
  int log2_lanes;  // of a group

  // Heads with a norm: queries, then keys. Values are counted behind them.
  QUIRE_HOST_DEVICE int normed_heads() const { return num_heads + num_kv_heads; }
  QUIRE_HOST_DEVICE int heads() const {
    return normed_heads() + (slots.is_null() ? 0 : num_kv_heads);
  }
  QUIRE_DEVICE bool is_value(int h) const { return h >= normed_heads(); }
  QUIRE_DEVICE HeadShape ShapeOf(int h) const { return is_value(h) ? value : head; }
  // Head `h` of row `row`.
  QUIRE_DEVICE Global<T> At(int64_t row, int h) const {
    const int values = h - normed_heads();
    const int64_t column = values < 0
                               ? int64_t{h} * head.dim
                               : int64_t{normed_heads()} * head.dim + int64_t{values} * value.dim;
    return qkv + row * qkv_stride + column;
  }
  QUIRE_DEVICE Global<const float> WeightOf(int h) const {
    const bool is_query = h < num_heads;
    const Global<const float> weight(is_query ? norm.q_weight : norm.k_weight);
    if (weight.is_null()) return weight;
    return weight + (is_query ? h : h - num_heads) * norm.weight_stride;
  }
};

// What a unit is multiplied by.
struct UnitFactors {
  UnitWeights weights;
  UnitAngles angles;  // of the first rotation
};

template <typename T>
QUIRE_DEVICE bool IsTurnedTwice(const NormRopeParams<T>& p, int h) {
  return h < p.num_heads && !p.q2.is_null();
}

// Of the first rotation, which makes q2 where there are two.
template <typename T>
QUIRE_DEVICE UnitAngles LoadFirstAngles(const NormRopeParams<T>& p, int64_t row, int h,
                                        const HeadUnit& unit) {
  const Global<const int32_t> rows = IsTurnedTwice(p, h) ? p.rope_rows2 : p.rope_rows;
  return LoadAngles(unit, p.head, p.rotation, rows.Load(row));
}

// Head `h` of row `row`, a query or a key: scaled, rotated, and put where it belongs. `factors` are
// those of the unit in registers.
template <typename C, typename T>
QUIRE_DEVICE void FinishHead(const NormRopeParams<T>& p, int64_t row, int h, const Head<T>& head,
                             const Scaling& scaling, UnitFactors factors) {
  const bool in_place = h < p.num_heads || p.slots.is_null();
  TokenPlace<C> place;
  if (!in_place) place = TokenPlace<C>(p.kv, p.slots.Load(row));
  head.ForEachUnit([&](HeadUnit& unit, bool held) {
    if (!held) {
      factors = {LoadWeights(unit, p.WeightOf(h)), LoadFirstAngles(p, row, h, unit)};
    }
    if (p.norm.kind != HeadNorm::kNone) scaling.Apply(unit, factors.weights);
    if (IsTurnedTwice(p, h)) {
      HeadUnit second = unit;
      RotateUnit(second, p.head, factors.angles);
      StoreUnit(p.q2 + row * p.q2_stride + int64_t{h} * p.head.dim, second);
      factors.angles = LoadAngles(unit, p.head, p.rotation, p.rope_rows.Load(row));
    }
    RotateUnit(unit, p.head, factors.angles);
    if (in_place) {
      StoreUnit(p.At(row, h), unit);
    } else {
      place.WriteKey(h - p.num_heads, 0, unit);
    }
  });
}

// Value `h` of row `row`, into the cache. All lanes of the warp call it, those of no row too.
template <typename C, typename T>
QUIRE_DEVICE void WriteValue(const NormRopeParams<T>& p, int64_t row, int h, const LaneGroup& group,
                             bool there) {
  const int64_t slot = there ? p.slots.Load(row) : -1;
  TokenPlace<C> place;
  if (there) place = TokenPlace<C>(p.kv, slot);
  const TokenPair pair(group, slot);
  const int units = p.value.units();
  for (int begin = 0; begin < units; begin += group.lanes) {
    const int index = begin + group.lane;
    HeadUnit unit{};
    if (there && index < units) unit = LoadUnit(Global<const T>(p.At(row, h)), p.value, index);
    const int value_head = h - p.normed_heads();
    if constexpr (sizeof(C) == 2) {
      place.WriteValue(value_head, unit, pair);
    } else {
      place.WriteValue(value_head, unit);
    }
  }
}

// Block (rows, heads): a head of its own for each warp. All loads are under way before the first
// sum; the weights', which no kernel writes and which nobody has read lately, before the wait.
template <typename T, typename C>
QUIRE_KERNEL(kNormRopeThreads, 5)
void NormRopeKernel(NormRopeParams<T> p) {
  const LaneGroup group(p.log2_lanes);
  const int h = BlockY() * BlockWarps() + WarpIndex();
  UnitFactors factors{};
  const bool normed = h < p.normed_heads() && p.norm.kind != HeadNorm::kNone;
  if (normed) factors.weights = LoadWeights(PlaceUnit(p.head, group.lane), p.WeightOf(h));
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  if (h >= p.heads()) return;
  const int64_t row = BlockX() * GroupsPerWarp(p.log2_lanes) + group.index;
  const bool there = row < p.rows;
  if (p.is_value(h)) {
    WriteValue<C>(p, row, h, group, there);
    return;
  }
  const Head<T> head(there ? p.At(row, h) : p.qkv, p.head, group, there);
  if (there) factors.angles = LoadFirstAngles(p, row, h, PlaceUnit(p.head, group.lane));
  Scaling scaling;
  if (normed) {
    if (p.norm.kind == HeadNorm::kLayer) scaling.mean = head.Mean();
    scaling.scale = InverseRms(head.SumOfSquares(scaling.mean), p.head.dim, p.norm.eps);
  }
  if (there) FinishHead<C>(p, row, h, head, scaling, factors);
}

// Over heads [begin, begin + count), in all threads the same.
QUIRE_DEVICE float InverseRmsOfHeads(Shared<float> squares, int begin, int count, int head_dim,
                                     float eps) {
  float sum = 0.0F;
  for (int h = LaneIndex(); h < count; h += kWarpLanes) sum += squares.Load(begin + h);
  return InverseRms(WarpReduce(sum, Plus()), count * head_dim, eps);
}

// One row: a head a group, and again.
template <typename T, typename C>
QUIRE_KERNEL(kFullWidthThreads, 1)
void FullWidthNormRopeKernel(NormRopeParams<T> p) {
  SharedMemory memory;
  const Shared<float> squares = memory.Take<float>(p.normed_heads());
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t row = BlockX();
  const LaneGroup group(p.log2_lanes);
  const int groups = BlockWarps() * GroupsPerWarp(p.log2_lanes);
  const int first = WarpIndex() * GroupsPerWarp(p.log2_lanes) + group.index;

  for (int begin = 0; begin < p.normed_heads(); begin += groups) {
    const int h = begin + first;
    const bool there = h < p.normed_heads();
    const Head<T> head(there ? p.At(row, h) : p.qkv, p.head, group, there);
    const float sum = head.SumOfSquares(0.0F);
    if (there && group.lane == 0) squares.Store(h, sum);
  }
  BlockBarrier();  // and nobody writes a head before all are read
  const float q_scale = InverseRmsOfHeads(squares, 0, p.num_heads, p.head.dim, p.norm.eps);
  const float k_scale =
      InverseRmsOfHeads(squares, p.num_heads, p.num_kv_heads, p.head.dim, p.norm.eps);
  const HeadUnit placed = PlaceUnit(p.head, group.lane);
  for (int h = first; h < p.heads(); h += groups) {
    const Head<T> head(p.At(row, h), p.ShapeOf(h), group, /*there=*/true);
    if (p.is_value(h)) {
      const TokenPlace<C> place(p.kv, p.slots.Load(row));
      head.ForEachUnit([&](const HeadUnit& unit, bool /*held*/) {
        place.WriteValue(h - p.normed_heads(), unit);
      });
      continue;
    }
    const Scaling scaling{.scale = h < p.num_heads ? q_scale : k_scale};
    FinishHead<C>(p, row, h, head, scaling,
                  {LoadWeights(placed, p.WeightOf(h)), LoadFirstAngles(p, row, h, placed)});
  }
}

// On the host: the instance for these types, in its shape.
template <typename T, typename C, typename Launcher>
void LaunchNormRopeOf(Launcher& launcher, const NormRopeArgs& args) {
  const HeadShape head{args.head_dim, args.rope.rotary_dim, args.rope.interleaved};
  const NormRopeParams<T> params{
      .qkv = Global<T>(static_cast<T*>(args.qkv.data)),
      .qkv_stride = args.qkv.row_stride,
      .rows = args.qkv.rows,
      .num_heads = args.num_heads,
      .num_kv_heads = args.num_kv_heads,
      .head = head,
      .value = {.dim = args.value_dim},
      .norm = args.norm,
      .rotation = Rotation(args.rope),
      .rope_rows = Global<const int32_t>(args.rope_rows.data),
      .q2 = Global<T>(static_cast<T*>(args.q2.data)),
      .q2_stride = args.q2.row_stride,
      .rope_rows2 = Global<const int32_t>(args.rope_rows2.data),
      .slots = Global<const int64_t>(args.slots.data),
      .kv = args.kv,
      .log2_lanes = Log2GroupLanes(head),
  };
  const int groups = GroupsPerWarp(params.log2_lanes);
  if (args.norm.kind == HeadNorm::kRmsFullWidth) {
    LaunchShape shape{
        .name = "full_width_norm_rope", .grid = {.x = params.rows}, .overlaps_earlier = true};
    const int64_t threads = CeilDiv(params.heads(), groups) * kWarpLanes;
    shape.threads = threads < kFullWidthThreads ? static_cast<int>(threads) : kFullWidthThreads;
    shape.shared_bytes = SharedBytes<float>(params.normed_heads());
    launcher.Launch(shape, &FullWidthNormRopeKernel<T, C>, params);
    return;
  }
  const LaunchShape shape{.name = "norm_rope",
                          .grid = {.x = CeilDiv(params.rows, groups),
                                   .y = CeilDiv(params.heads(), kNormRopeThreads / kWarpLanes)},
                          .threads = kNormRopeThreads,
                          .overlaps_earlier = true};
  launcher.Launch(shape, &NormRopeKernel<T, C>, params);
}

// args.qkv.rows of them; args.kv is of no account where there are no slots.
template <typename Launcher>
void LaunchNormRope(Launcher& launcher, const NormRopeArgs& args) {
  const bool cache_bf16 = args.kv.layout.dtype == DType::kBFloat16;
  if (args.qkv.dtype == DType::kBFloat16) {
    return cache_bf16 ? LaunchNormRopeOf<bf16, bf16>(launcher, args)
                      : LaunchNormRopeOf<bf16, float>(launcher, args);
  }
  return cache_bf16 ? LaunchNormRopeOf<float, bf16>(launcher, args)
                    : LaunchNormRopeOf<float, float>(launcher, args);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_NORM_ROPE_WRITE_CUH_
