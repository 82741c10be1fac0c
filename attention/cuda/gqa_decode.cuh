// Attention of generated rows over the paged cache. A block owns (row, KV head, split) for up to 16
// query heads of the KV head, one such item after the other: a split is the positions of one run of
// kGqaDecodeSplit that the row sees, whatever else there is. Its four warps take tiles of 16
// positions in turns, each with a softmax of its own, and are merged in their order; a row's splits
// are combined by a kernel behind (gqa_decode_combine.cuh).
//
// It streams the cache once, at some 16 FLOPs per byte: bound by memory, so what counts is that
// copies are under way all the time (gqa_decode_tiles.cuh).
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_CUH_

#include <cstdint>
#include <type_traits>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/gqa_decode_combine.cuh"
#include "attention/cuda/gqa_decode_fma.cuh"
#include "attention/cuda/gqa_decode_mma.cuh"
#include "attention/cuda/gqa_decode_scores.cuh"
#include "attention/cuda/gqa_decode_tiles.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Queries of the rows, head by head.
template <typename Act>
struct DecodeQueries {
  Global<const Act> data;
  int64_t stride;
  bool aligned;  // heads begin at multiples of 16 bytes
};

template <typename Act>
struct DecodeParams {
  DecodePlan plan;
  DecodePages pages;
  RuleParams rules;
  DecodeQueries<Act> queries, prefix_queries;
  Global<const int32_t> blocks, prefix_blocks;
  DecodeWorkspace workspace;
  DecodeOutput<Act> output;
  int group;        // query heads of a KV head
  int head_blocks;  // of up to kDecodeHeads of them
};

// What a block works on.
struct DecodeWork {
  int64_t item_index;
  DecodeItem item;
  int kv_head;
  int first_head, heads;  // query heads

  template <typename Act>
  QUIRE_DEVICE static DecodeWork Of(const DecodeParams<Act>& p, int64_t index) {
    const int units = p.pages.layout.num_kv_heads * p.head_blocks;
    DecodeWork work;
    work.item_index = index / units;
    work.item = p.plan.Item(work.item_index);
    const int unit = static_cast<int>(index % units);
    work.kv_head = unit / p.head_blocks;
    const int within = unit % p.head_blocks * kDecodeHeads;
    work.first_head = work.kv_head * p.group + within;
    work.heads = p.group - within < kDecodeHeads ? p.group - within : kDecodeHeads;
    return work;
  }
};

// Shared memory of a block.
template <typename Warp>
struct DecodeMemory {
  using Act = typename Warp::Act;
  using TileShape = typename Warp::Tiles::Shape;

  Shared<Act> queries;     // [16][kQueryStride]
  Shared<uint32_t> rings;  // a warp's: its tiles, then its weighted sums
  Shared<float> most;      // [warp][16]
  Shared<float> totals;    // [warp][16]
  Shared<float> scratch;   // [warp][kScratch]

  QUIRE_DEVICE static DecodeMemory Take() {
    SharedMemory memory;
    const auto queries = memory.Take<Act>(kDecodeHeads * Warp::kQueryStride);
    const auto rings = memory.Take<uint32_t>(kDecodeWarps * TileShape::kRingWords);
    const auto most = memory.Take<float>(kDecodeWarps * kDecodeHeads);
    const auto totals = memory.Take<float>(kDecodeWarps * kDecodeHeads);
    const auto scratch = memory.Take<float>(kDecodeWarps * Warp::kScratch);
    return {queries, rings, most, totals, scratch};
  }
  static constexpr size_t Bytes() {
    return SharedBytes<uint32_t>(kDecodeWarps * TileShape::kRingWords) + BytesBesideRings();
  }
  static constexpr size_t BytesBesideRings() {
    return SharedBytes<Act>(kDecodeHeads * Warp::kQueryStride) +
           2 * SharedBytes<float>(kDecodeWarps * kDecodeHeads) +
           SharedBytes<float>(kDecodeWarps * Warp::kScratch);
  }

  QUIRE_DEVICE Shared<uint32_t> Ring(int warp) const {
    return rings + warp * TileShape::kRingWords;
  }
  QUIRE_DEVICE Shared<float> Sums(int warp) const { return Ring(warp).template As<float>(); }
  static_assert(TileShape::kRingWords >= kDecodeHeads * TileShape::kValueCols);
};

// Queries of `heads` heads into rows of kStride, with zeros around them up to 16 heads of kD.
template <int kD, int kStride, typename Act>
QUIRE_DEVICE void LoadDecodeQueries(Global<const Act> from, int heads, int dim, bool aligned,
                                    Shared<Act> to) {
  constexpr int kPack = kPackOf16Bytes<Act>;
  for (int i = ThreadIndex(); i < kDecodeHeads * kD / kPack; i += kDecodeThreads) {
    const int head = i / (kD / kPack), d = i % (kD / kPack) * kPack;
    Pack<Act, kPack> pack{};
    if (head < heads && aligned && d + kPack <= dim) {
      pack = from.template LoadPack<kPack>(head * dim + d);
    } else if (head < heads) {
      QUIRE_UNROLL
      for (int j = 0; j < kPack; ++j) {
        if (d + j < dim) pack[j] = from.Load(head * dim + d + j);
      }
    }
    to.template StorePack<kPack>(head * kStride + d, pack);
  }
}

// What the warps have stored becomes the split's result, or the row's if that is all it has.
template <typename Warp>
QUIRE_DEVICE void MergeDecodeWarps(const DecodeParams<typename Warp::Act>& p,
                                   const DecodeMemory<Warp>& memory, const DecodeWork& work) {
  using TileShape = typename Warp::Tiles::Shape;
  const int pieces = (p.output.value_dim + 3) / 4;
  for (int i = ThreadIndex(); i < work.heads * pieces; i += kDecodeThreads) {
    const int row = i / pieces, d = i % pieces * 4;
    SoftmaxRow whole;
    for (int warp = 0; warp < kDecodeWarps; ++warp) {
      whole.max = Maximum()(whole.max, memory.most.Load(warp * kDecodeHeads + row));
    }
    Dims4 sums{};
    for (int warp = 0; warp < kDecodeWarps; ++warp) {
      const int at = warp * kDecodeHeads + row;
      const float factor = FastExp2(memory.most.Load(at) - whole.Offset());
      whole.sum = Fma(factor, memory.totals.Load(at), whole.sum);
      const Dims4 part = memory.Sums(warp).template LoadPack<4>(row * TileShape::kValueCols + d);
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) sums[j] = Fma(factor, part[j], sums[j]);
    }
    const int head = work.first_head + row;
    if (work.item.num_splits == 1) {
      p.output.Write(work.item.row, head, d, whole, sums);
    } else {
      p.workspace.SetSums(work.item_index, head, d, sums);
      if (d == 0) p.workspace.SetSoftmax(work.item_index, head, whole);
    }
  }
}

template <typename Warp>
QUIRE_DEVICE void AttendDecodeSplit(const DecodeParams<typename Warp::Act>& p,
                                    const DecodeMemory<Warp>& memory, const DecodeWork& work) {
  const bool in_prefix = work.item.in_prefix;
  typename Warp::Tiles tiles(p.pages, in_prefix ? p.prefix_blocks : p.blocks, work.item,
                             work.kv_head, memory.Ring(WarpIndex()));
  tiles.Begin();
  const int dim = p.pages.layout.head_dim;
  const DecodeQueries<typename Warp::Act>& queries = in_prefix ? p.prefix_queries : p.queries;
  LoadDecodeQueries<Warp::kKeyDim, Warp::kQueryStride>(
      queries.data + (work.item.row * queries.stride + work.first_head * dim), work.heads, dim,
      queries.aligned, memory.queries);
  BlockBarrier();
  Warp warp(memory.queries, memory.scratch + WarpIndex() * Warp::kScratch, p.rules, work.item,
            work.first_head, work.heads);
  for (int i = 0; i < tiles.size(); ++i) {
    warp.Keys(tiles.Keys(i), tiles.Position(i));
    tiles.KeysDone(i);
    warp.Values(tiles.Values(i));
    tiles.ValuesDone(i);
  }
  const int at = WarpIndex() * kDecodeHeads;
  warp.Store(memory.most + at, memory.totals + at, memory.Sums(WarpIndex()));
  BlockBarrier();
  MergeDecodeWarps(p, memory, work);
}

// Block b: the plan's items times KV heads times blocks of query heads, every GridX()-th from b on.
template <typename Warp>
QUIRE_KERNEL(kDecodeThreads, Warp::Tiles::Shape::kValueCols <= 64 ? 3 : 2)
void GqaDecodeKernel(DecodeParams<typename Warp::Act> p) {
  const DecodeMemory<Warp> memory = DecodeMemory<Warp>::Take();
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t count = int64_t{p.plan.NumItems()} * p.pages.layout.num_kv_heads * p.head_blocks;
  for (int64_t index = BlockX(); index < count; index += GridX()) {
    if (index != BlockX()) BlockBarrier();  // behind the item before
    AttendDecodeSplit<Warp>(p, memory, DecodeWork::Of(p, index));
  }
}

inline bool DecodeIsMultiple(int64_t number, int64_t of) { return number % of == 0; }

// Whether runs of `count` numbers, `width` apart within rows, are aligned to their size.
inline bool DecodeRunsAligned(const DeviceMatrix& m, int width, int count) {
  const auto bytes = static_cast<int64_t>(DTypeBytes(m.dtype)) * count;
  return DecodeIsMultiple(static_cast<int64_t>(reinterpret_cast<uintptr_t>(m.data)), bytes) &&
         DecodeIsMultiple(m.row_stride, count) && DecodeIsMultiple(width, count);
}

template <typename Act>
DecodeQueries<Act> QueriesOf(const DeviceMatrix& m, int head_dim) {
  return {Global<const Act>(static_cast<const Act*>(m.data)), m.row_stride,
          DecodeRunsAligned(m, head_dim, kPackOf16Bytes<Act>)};
}

template <typename Warp, typename Launcher>
void LaunchGqaDecodeOf(Launcher& launcher, const GqaDecodeArgs& args) {
  using Act = typename Warp::Act;
  const KvPageLayout& layout = args.kv.layout;
  const DecodePlan plan = PlanOf(args.plan);
  const int group = args.num_heads / layout.num_kv_heads;
  const DecodeParams<Act> params{
      .plan = plan,
      .pages = {Global<const uint32_t>(static_cast<const uint32_t*>(args.kv.base)),
                args.kv.page_stride_bytes / 4, layout},
      .rules = RulesOf(args),
      .queries = QueriesOf<Act>(args.qkv, layout.head_dim),
      .prefix_queries =
          QueriesOf<Act>(args.q2.data == nullptr ? args.qkv : args.q2, layout.head_dim),
      .blocks = Global<const int32_t>(args.blocks.data),
      .prefix_blocks = Global<const int32_t>(args.prefix_blocks.data),
      .workspace = {Global<float>(args.workspace), plan.max_items, args.num_heads,
                    (layout.value_dim + 3) / 4 * 4},
      .output = {Global<Act>(static_cast<Act*>(args.out.data)), args.out.row_stride,
                 layout.value_dim, DecodeRunsAligned(args.out, layout.value_dim, 4),
                 Global<const float>(args.sink_logits)},
      .group = group,
      .head_blocks = static_cast<int>(CeilDiv(group, kDecodeHeads)),
  };
  int64_t blocks = plan.max_items * layout.num_kv_heads * params.head_blocks;
  if (args.max_blocks > 0 && blocks > args.max_blocks) blocks = args.max_blocks;
  static_assert(DecodeMemory<Warp>::Bytes() <= kMaxSharedBytes);
  launcher.Launch({.name = "gqa_decode",
                   .grid = {.x = blocks},
                   .threads = kDecodeThreads,
                   .shared_bytes = DecodeMemory<Warp>::Bytes(),
                   .overlaps_earlier = true},
                  &GqaDecodeKernel<Warp>, params);
  constexpr int kWarps = kDecodeCombineThreads / kWarpLanes;
  launcher.Launch({.name = "gqa_decode_combine",
                   .grid = {.x = CeilDiv(plan.num_rows * args.num_heads, kWarps)},
                   .threads = kDecodeCombineThreads,
                   .overlaps_earlier = true},
                  &GqaDecodeCombineKernel<Act>,
                  DecodeCombineParams<Act>{plan, params.workspace, params.output});
}

// Stages of a block that has `room` bytes. Form::Warp is a template of them.
template <typename Form>
constexpr int DecodeStages(size_t room) {
  using AnyWarp = typename Form::template Warp<3>;
  using TileShape = typename AnyWarp::Tiles::Shape;
  const auto fit =
      static_cast<int>((room - DecodeMemory<AnyWarp>::BytesBesideRings()) / TileShape::kStageBytes);
  return fit < TileShape::kMostStages ? fit : TileShape::kMostStages;
}

// Devices of less than the most have blocks for the least: two share a multiprocessor of 164 KiB.
template <typename Form, typename Launcher>
void LaunchGqaDecodeForm(Launcher& launcher, const GqaDecodeArgs& args) {
  constexpr int kMost = DecodeStages<Form>(kMaxSharedBytes);
  constexpr int kLeast = DecodeStages<Form>(kLeastSharedBytes);
  if constexpr (kMost != kLeast) {
    if (launcher.max_shared_bytes() >= kMaxSharedBytes) {
      return LaunchGqaDecodeOf<typename Form::template Warp<kMost> >(launcher, args);
    }
  }
  LaunchGqaDecodeOf<typename Form::template Warp<kLeast> >(launcher, args);
}

template <int kD, int kDv>
struct MmaDecodeForm {
  template <int kStages>
  using Warp = MmaDecodeWarp<kD, kDv, kStages>;
};
template <typename Act, typename Kv, int kD, int kDv>
struct FmaDecodeForm {
  template <int kStages>
  using Warp = FmaDecodeWarp<Act, Kv, kD, kDv, kStages>;
};

template <int kD, int kDv>
struct DecodeDims {
  static constexpr int kKeys = kD;
  static constexpr int kValues = kDv;
};

// visit(dims) with the first of the list that heads of these dims fit into.
template <typename First, typename... Rest, typename Visit>
void VisitDecodeDims(const KvPageLayout& layout, Visit visit) {
  if constexpr (sizeof...(Rest) > 0) {
    if (layout.head_dim > First::kKeys || layout.value_dim > First::kValues) {
      return VisitDecodeDims<Rest...>(layout, visit);
    }
  }
  visit(First());
}

template <typename Act, typename Kv, typename Launcher>
void LaunchFmaGqaDecode(Launcher& launcher, const GqaDecodeArgs& args) {
  VisitDecodeDims<DecodeDims<64, 64>, DecodeDims<128, 128>, DecodeDims<256, 256> >(
      args.kv.layout, [&](auto dims) {
        using Form = FmaDecodeForm<Act, Kv, decltype(dims)::kKeys, decltype(dims)::kValues>;
        LaunchGqaDecodeForm<Form>(launcher, args);
      });
}

// Rows [0, args.plan.num_rows) of out, behind LaunchDecodePlan(args.plan).
template <typename Launcher>
void LaunchGqaDecode(Launcher& launcher, const GqaDecodeArgs& args) {
  if (args.plan.num_rows == 0) return;
  const bool bf16_cache = args.kv.layout.dtype == DType::kBFloat16;
  if (args.qkv.dtype == DType::kFloat32) {
    return bf16_cache ? LaunchFmaGqaDecode<float, bf16>(launcher, args)
                      : LaunchFmaGqaDecode<float, float>(launcher, args);
  }
  if (!bf16_cache) return LaunchFmaGqaDecode<bf16, float>(launcher, args);
  VisitDecodeDims<DecodeDims<64, 64>, DecodeDims<80, 80>, DecodeDims<96, 96>, DecodeDims<128, 128>,
                  DecodeDims<192, 128>, DecodeDims<192, 192>, DecodeDims<256, 256> >(
      args.kv.layout, [&](auto dims) {
        using Form = MmaDecodeForm<decltype(dims)::kKeys, decltype(dims)::kValues>;
        LaunchGqaDecodeForm<Form>(launcher, args);
      });
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_CUH_
