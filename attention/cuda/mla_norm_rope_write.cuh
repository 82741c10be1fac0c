// The norm of latents, the rotation of keys and queries, and the write of the cache rows. Blocks of
// y = 0 own the latents of a few rows, a warp one after another; those of y > 0 rotated heads of
// the same rows, a warp one head of each. All of them stream: about ten FLOPs per byte.
#ifndef QUIRE_ATTENTION_CUDA_MLA_NORM_ROPE_WRITE_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_NORM_ROPE_WRITE_CUH_

#include <cstdint>

#include "attention/cuda/head_units.cuh"
#include "attention/cuda/rope_args.h"
#include "attention/cuda/token_place.cuh"
#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kMlaNormRopeThreads = 128;

// L is the type of latents, T that of queries.
template <typename L, typename T>
struct MlaNormRopeParams {
  Global<const L> latent;
  int64_t latent_stride;
  Global<T> q;
  int64_t q_stride;
  int64_t rows;  // T
  int num_heads;
  int head_dim;
  int rope_begin;
  int key_ropes;
  HeadShape c;     // R, no rotation
  HeadShape rope;  // Dr
  Global<const float> latent_norm;
  float norm_eps;
  Rotation rotation;
  Global<const int32_t> rope_rows;
  Global<const int64_t> slots;
  PagedKvView kv;
  int log2_lanes;  // of a group that rotates
};

// The latent of one row, by a warp.
template <typename C, typename L, typename T>
QUIRE_DEVICE void WriteLatent(const MlaNormRopeParams<L, T>& p, int64_t row) {
  const LaneGroup warp(kLog2WarpLanes);
  const Head<L> c(p.latent + row * p.latent_stride, p.c, warp, /*there=*/true);
  const TokenPlace<C> place(p.kv, p.slots.Load(row));
  UnitWeights weights{};
  Scaling scaling;
  const bool normed = !p.latent_norm.is_null();
  if (normed) {
    weights = LoadWeights(PlaceUnit(p.c, warp.lane), p.latent_norm);
    scaling.scale = InverseRms(c.SumOfSquares(0.0F), p.c.dim, p.norm_eps);
  }
  c.ForEachUnit([&](HeadUnit& unit, bool held) {
    if (normed) {
      if (!held) weights = LoadWeights(unit, p.latent_norm);
      scaling.Apply(unit, weights);
    }
    place.WriteKey(0, 0, unit);
  });
}

// Rotated part `h` of one row, by a group: the keys', then the query heads'.
template <typename C, typename L, typename T>
QUIRE_DEVICE void RotatePart(const MlaNormRopeParams<L, T>& p, int64_t row, int h,
                             const LaneGroup& group) {
  const int64_t rope_row = p.rope_rows.Load(row);
  if (h < p.key_ropes) {
    const int begin = p.c.dim + h * p.rope.dim;  // in the row of the latent, and of the cache
    const TokenPlace<C> place(p.kv, p.slots.Load(row));
    const Head<L> key(p.latent + row * p.latent_stride + begin, p.rope, group, /*there=*/true);
    key.ForEachUnit([&](HeadUnit& unit, bool /*held*/) {
      RotateUnit(unit, p.rope, LoadAngles(unit, p.rope, p.rotation, rope_row));
      place.WriteKey(0, begin, unit);
    });
    return;
  }
  const Global<T> at =
      p.q + row * p.q_stride + int64_t{h - p.key_ropes} * p.head_dim + p.rope_begin;
  const Head<T> query(at, p.rope, group, /*there=*/true);
  query.ForEachUnit([&](HeadUnit& unit, bool /*held*/) {
    RotateUnit(unit, p.rope, LoadAngles(unit, p.rope, p.rotation, rope_row));
    StoreUnit(at, unit);
  });
}

template <typename L, typename T, typename C>
QUIRE_KERNEL(kMlaNormRopeThreads, 6)
void MlaNormRopeKernel(MlaNormRopeParams<L, T> p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const LaneGroup group(p.log2_lanes);
  const int rows = GroupsPerWarp(p.log2_lanes);
  const int64_t first_row = BlockX() * rows;
  if (BlockY() == 0) {
    for (int i = WarpIndex(); i < rows; i += BlockWarps()) {
      if (first_row + i < p.rows) WriteLatent<C>(p, first_row + i);
    }
    return;
  }
  const int h = (BlockY() - 1) * BlockWarps() + WarpIndex();
  const int64_t row = first_row + group.index;
  if (h < p.key_ropes + p.num_heads && row < p.rows) RotatePart<C>(p, row, h, group);
}

// On the host: the instance for these types, in its shape.
template <typename L, typename T, typename C, typename Launcher>
void LaunchMlaNormRopeOf(Launcher& launcher, const MlaNormRopeArgs& args) {
  const int rotary_dim = args.rope.rotary_dim;
  const HeadShape rope{rotary_dim, rotary_dim, args.rope.interleaved};
  const MlaNormRopeParams<L, T> params{
      .latent = Global<const L>(static_cast<const L*>(args.latent.data)),
      .latent_stride = args.latent.row_stride,
      .q = Global<T>(static_cast<T*>(args.q.data)),
      .q_stride = args.q.row_stride,
      .rows = args.q.rows,
      .num_heads = args.num_heads,
      .head_dim = args.head_dim,
      .rope_begin = args.rope_begin,
      .key_ropes = args.key_ropes,
      .c = {.dim = args.latent_dim},
      .rope = rope,
      .latent_norm = Global<const float>(args.latent_norm),
      .norm_eps = args.norm_eps,
      .rotation = Rotation(args.rope),
      .rope_rows = Global<const int32_t>(args.rope_rows.data),
      .slots = Global<const int64_t>(args.slots.data),
      .kv = args.kv,
      .log2_lanes = Log2GroupLanes(rope),
  };
  const int warps = kMlaNormRopeThreads / kWarpLanes;
  const LaunchShape shape{.name = "mla_norm_rope",
                          .grid = {.x = CeilDiv(params.rows, GroupsPerWarp(params.log2_lanes)),
                                   .y = 1 + CeilDiv(args.key_ropes + args.num_heads, warps)},
                          .threads = kMlaNormRopeThreads,
                          .overlaps_earlier = true};
  launcher.Launch(shape, &MlaNormRopeKernel<L, T, C>, params);
}

template <typename L, typename T, typename Launcher>
void LaunchMlaNormRopeInto(Launcher& launcher, const MlaNormRopeArgs& args) {
  if (args.kv.layout.dtype == DType::kBFloat16) {
    LaunchMlaNormRopeOf<L, T, bf16>(launcher, args);
  } else {
    LaunchMlaNormRopeOf<L, T, float>(launcher, args);
  }
}

// args.q.rows of them.
template <typename Launcher>
void LaunchMlaNormRope(Launcher& launcher, const MlaNormRopeArgs& args) {
  const bool q_bf16 = args.q.dtype == DType::kBFloat16;
  if (args.latent.dtype == DType::kBFloat16) {
    return q_bf16 ? LaunchMlaNormRopeInto<bf16, bf16>(launcher, args)
                  : LaunchMlaNormRopeInto<bf16, float>(launcher, args);
  }
  return q_bf16 ? LaunchMlaNormRopeInto<float, bf16>(launcher, args)
                : LaunchMlaNormRopeInto<float, float>(launcher, args);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_NORM_ROPE_WRITE_CUH_
