// Absorbed latent attention: a block owns 16 heads of a row and one split of its keys, an item of
// the plan after the other, or all of them. A tile of 32 cache rows comes to shared memory once and
// is key and value of all 16 heads: 2 x 16 x (2 R + Dr) FLOPs for 2 (R + Dr) bytes of bf16, some 30
// a byte at 16 heads, so that memory bounds it, and caches where there are more heads.
//
// Of a tile's products, q k^T is dealt out to the warps along R + Dr (their sums meet in shared
// memory), the softmax by heads, p v along R. Keys, values, queries and probabilities of bf16
// caches are bf16 (fp32 queries are rounded, as for the CPU's pair products); others are FMAs.
//
// Where a block has no room for two tiles, copies wait for the products. No bit depends on it.
//
// A head's numbers depend on its query and on the cache rows of tiles and splits at absolute
// positions: neither on the other heads nor on how splits are dealt out to blocks.
#ifndef QUIRE_ATTENTION_CUDA_MLA_ABSORBED_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_ABSORBED_CUH_

#include <cstdint>

#include "attention/cuda/mla_absorbed_products.cuh"
#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_combine.cuh"
#include "attention/cuda/mla_softmax.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// The softmax of two heads, by one warp: a lane a token of the tile.
class HeadPairSoftmax {
 public:
  // state = that after the tile's scores (of which `seen` says whether the lane has one);
  // probability = the lane's, factor = of the sums so far.
  QUIRE_DEVICE static void Step(float score, bool seen, float scale_log2, SoftmaxState& state,
                                float& probability, float& factor) {
    const float tile_most = WarpReduce(seen ? score : MinusInfinity(), Maximum()) * scale_log2;
    const float most = tile_most > state.m ? tile_most : state.m;
    const float base = MaximumBase(most);
    probability = seen ? FastExp2(Fma(score, scale_log2, -base)) : 0.0F;
    factor = FastExp2(state.m - base);
    state.l = Fma(state.l, factor, WarpReduce(probability, Plus()));
    state.m = most;
  }
};

// One block's work. Products is MmaProducts or FmaProducts. kItems: items of the plan, one after
// the other; else a row's splits, all of them.
template <typename Products, bool kItems>
class AbsorbedBlock {
 public:
  static constexpr int kGroups = Products::kGroups;

  QUIRE_DEVICE AbsorbedBlock(const AbsorbedParams& params, SharedMemory& memory)
      : p_(params),
        tile_words_(Products::TileWords(params.shape)),
        products_(params, memory),
        stages_(memory.template Take<uint32_t>(params.stages * tile_words_ * kAbsorbedTile)),
        factors_(memory.template Take<float>(kAbsorbedHeads)),
        merge_(memory.template Take<float>(3 * kAbsorbedHeads)) {}

  static size_t SharedBytesOf(const MlaShape& shape, int stages) {
    return Products::SharedBytesOf() +
           SharedBytes<uint32_t>(stages * Products::TileWords(shape) * kAbsorbedTile) +
           SharedBytes<float>(kAbsorbedHeads) + SharedBytes<float>(3 * kAbsorbedHeads);
  }

  QUIRE_DEVICE void Run() {
    if (p_.HasItems() != kItems) return;  // the other kernel's work
    if constexpr (kItems) {
      RunItems();
    } else {
      RunRow(BlockX() / p_.head_blocks, static_cast<int>(BlockX() % p_.head_blocks));
    }
  }

 private:
  static constexpr int kTilesOfSplit = kMlaSplitTokens / kAbsorbedTile;
  static constexpr int kWarpHeads = kAbsorbedHeads / kAbsorbedWarps;

  // Block b: every GridX()-th item from b on.
  QUIRE_DEVICE void RunItems() {
    const int count = p_.plan.NumItems() * p_.head_blocks;
    QUIRE_NO_UNROLL
    for (int i = static_cast<int>(BlockX()); i < count; i += static_cast<int>(GridX())) {
      if (i != BlockX()) BlockBarrier();  // behind the item before
      const DecodeItem item = p_.plan.Item(i / p_.head_blocks);
      BeginRow(item.row, i % p_.head_blocks);
      whole_ = item.num_splits == 1;
      const int split = item.begin / kMlaSplitTokens;
      RunSplit(split, split + 1);
      if (whole_) {
        StoreOut(sums_);
      } else {
        StorePartial(i / p_.head_blocks);
      }
    }
  }

  QUIRE_DEVICE void RunRow(int64_t row, int head_block) {
    BeginRow(row, head_block);
    whole_ = true;
    const int splits = static_cast<int>(MlaSplits(keys_));
    QUIRE_NO_UNROLL
    for (int split = 0; split < splits; ++split) RunSplit(split, splits);
    StoreOut(totals_);
  }

  QUIRE_DEVICE void BeginRow(int64_t row_index, int head_block) {
    row_ = row_index;
    first_head_ = head_block * kAbsorbedHeads;
    const AbsorbedRow row = FindAbsorbedRow(p_.batch, row_);
    table_ = p_.batch.blocks + row.table_start;
    keys_ = row.keys;
    copying_ = false;
    products_.LoadQueries(row_, first_head_);
    ClearPads();
    Clear(sums_);
  }

  QUIRE_DEVICE static void Clear(float (&sums)[kGroups][2][4]) {
    QUIRE_UNROLL
    for (int i = 0; i < kGroups * 8; ++i) sums[i / 8][i / 4 % 2][i % 4] = 0.0F;
  }

  // Words of the tiles that no copy writes are factors of zeros of the queries, or of nothing.
  QUIRE_DEVICE void ClearPads() const {
    const int words = Products::ScoreWords(p_.shape);
    for (int i = words * kAbsorbedTile + ThreadIndex(); i < tile_words_ * kAbsorbedTile;
         i += kAbsorbedThreads) {
      for (int stage = 0; stage < p_.stages; ++stage) Stage(stage).Store(i, 0);
    }
  }

  QUIRE_DEVICE static int TileBegin(int tile) { return tile * kAbsorbedTile; }

  // Of the splits before `split`.
  QUIRE_DEVICE int TilesBefore(int split) const {
    const int all = (keys_ + kAbsorbedTile - 1) / kAbsorbedTile;
    return split * kTilesOfSplit < all ? split * kTilesOfSplit : all;
  }

  // The tiles of one split; those behind it, of splits before `end_split`, come already.
  QUIRE_DEVICE void RunSplit(int split, int end_split) {
    const int first = split * kTilesOfSplit;
    const int last = TilesBefore(split + 1), block_last = TilesBefore(end_split);
    QUIRE_UNROLL
    for (int i = 0; i < kWarpHeads; ++i) state_[i] = EmptySoftmax();
    if (!copying_) {
      copying_ = true;
      copy_.Find(p_.pages, table_, TileBegin(first), keys_);
      StartCopy(first, block_last);
    }
    QUIRE_NO_UNROLL
    for (int tile = first; tile < last; ++tile) {
      float rope[kWarpHeads] = {};
      const bool seen = TileBegin(tile) + LaneIndex() < keys_;
      if (p_.shape.rope_per_head && seen) AddRopeScores(TileBegin(tile) + LaneIndex(), rope);
      WaitForCopies<0>();
      BlockBarrier();  // the tile is there, and all are done with the one before it
      if (p_.stages > 1) StartCopy(tile + 1, block_last);
      products_.Scores(Stage(tile));
      BlockBarrier();
      QUIRE_UNROLL
      for (int i = 0; i < kWarpHeads; ++i) {
        const int head = WarpIndex() * kWarpHeads + i;
        float probability, factor;
        HeadPairSoftmax::Step(products_.Score(i) + rope[i], seen, p_.scale_log2, state_[i],
                              probability, factor);
        products_.StoreProbability(head, probability);
        if (LaneIndex() == 0) factors_.Store(head, factor);
        if (whole_ && tile + 1 == last) MergeState(i, split);
      }
      BlockBarrier();
      products_.AddValues(Stage(tile), factors_, sums_);
      if (p_.stages == 1) {
        BlockBarrier();
        StartCopy(tile + 1, block_last);
      }
    }
    if constexpr (!kItems) MergeSums(split);
  }

  QUIRE_DEVICE Shared<uint32_t> Stage(int tile) const {
    return stages_ + tile % p_.stages * tile_words_ * kAbsorbedTile;
  }

  // Of tile `tile`, which has been found, if there is one; and finds the next.
  QUIRE_DEVICE void StartCopy(int tile, int end) {
    if (tile >= end) return;
    copy_.Start(Stage(tile), p_.pages, 0, Products::ScoreWords(p_.shape));
    CommitCopies();
    if (tile + 1 < end) copy_.Find(p_.pages, table_, TileBegin(tile + 1), keys_);
  }

  // q_r k_r of this warp's heads, where each has a k_r of its own, for the token at `position`.
  QUIRE_DEVICE void AddRopeScores(int position, float (&scores)[kWarpHeads]) const {
    const int64_t token = p_.pages.At(table_, position);
    QUIRE_UNROLL
    for (int i = 0; i < kWarpHeads; ++i) {
      const int head = first_head_ + WarpIndex() * kWarpHeads + i;
      if (head >= p_.shape.num_heads) continue;
      const int64_t q = int64_t{head} * p_.shape.head_dim() + p_.shape.rope_begin();
      scores[i] = products_.RopeScore(p_.q, row_, q, token, p_.shape.key_rope_begin(head));
    }
  }

  // total_state_ with state_ of the warp's head `i`, and for all threads what that does to sums.
  QUIRE_DEVICE void MergeState(int i, int split) {
    MergeFactors factors{0.0F, 1.0F};
    if (kItems || split == 0) {
      total_state_[i] = state_[i];
    } else {
      factors = AddSplit(total_state_[i], state_[i]);
    }
    if (LaneIndex() != 0) return;
    const int head = WarpIndex() * kWarpHeads + i;
    merge_.Store(head, factors.total);
    merge_.Store(kAbsorbedHeads + head, factors.split);
    merge_.Store(2 * kAbsorbedHeads + head, total_state_[i].l);
  }

  QUIRE_DEVICE void MergeSums(int split) {
    MergeFactors factors[2];
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int head = LaneIndex() / 4 + 8 * half;
      factors[half] = {merge_.Load(head), merge_.Load(kAbsorbedHeads + head)};
    }
    QUIRE_UNROLL
    for (int i = 0; i < kGroups * 8; ++i) {
      float& total = totals_[i / 8][i / 4 % 2][i % 4];
      const float sum = sums_[i / 8][i / 4 % 2][i % 4];
      const MergeFactors& f = factors[i % 4 / 2];
      total = split == 0 ? sum : Fma(sum, f.split, total * f.total);
    }
    Clear(sums_);
  }

  // visit(head of the 16, first of two dims, the numbers there) for the numbers of this thread.
  template <typename Visit>
  QUIRE_DEVICE void ForEachPair(const float (&sums)[kGroups][2][4], Visit visit) const {
    QUIRE_UNROLL
    for (int i = 0; i < kGroups; ++i) {
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) {  // halves of the heads x words
        const int head = LaneIndex() / 4 + j / 2 * 8;
        const int dim = ValueDim(i) + j % 2 * 2;
        if (first_head_ + head < p_.shape.num_heads && dim < p_.shape.latent_dim) {
          visit(head, dim, sums[i][0][j], sums[i][1][j]);
        }
      }
    }
  }

  QUIRE_DEVICE void StoreOut(const float (&sums)[kGroups][2][4]) const {
    ForEachPair(sums, [&](int head, int dim, float first, float second) {
      const float l = merge_.Load(2 * kAbsorbedHeads + head);
      p_.out.StorePair(row_, int64_t{first_head_ + head} * p_.shape.latent_dim + dim,
                       Normalised(first, l), Normalised(second, l));
    });
  }

  QUIRE_DEVICE void StorePartial(int64_t item) const {
    ForEachPair(sums_, [&](int head, int dim, float first, float second) {
      const int64_t at = p_.partials.At(item, first_head_ + head);
      p_.partials.sums.template StorePack<2>(at * p_.shape.latent_dim + dim, {{first, second}});
    });
    QUIRE_UNROLL
    for (int i = 0; i < kWarpHeads; ++i) {
      const int head = first_head_ + WarpIndex() * kWarpHeads + i;
      if (LaneIndex() != 0 || head >= p_.shape.num_heads) continue;
      p_.partials.states.template StorePack<2>(2 * p_.partials.At(item, head),
                                               {{state_[i].m, state_[i].l}});
    }
  }

  const AbsorbedParams& p_;
  const int tile_words_;
  Products products_;
  const Shared<uint32_t> stages_;  // tiles
  const Shared<float> factors_;    // [16] of the tile
  const Shared<float> merge_;      // [3, 16]: of the total, of the split; the total's l
  int64_t row_;
  int first_head_;
  Global<const int32_t> table_;
  int keys_;
  bool whole_;  // the result is written, not a partial one
  bool copying_ = false;
  TileCopy<kAbsorbedTile> copy_;
  SoftmaxState state_[kWarpHeads];
  SoftmaxState total_state_[kWarpHeads];
  float sums_[kGroups][2][4];  // as ForEachPair tells them
  float totals_[kGroups][2][4];
};

template <typename Products, bool kItems>
QUIRE_KERNEL(kAbsorbedThreads, Products::kMinBlocks)
void AbsorbedKernel(AbsorbedParams p) {
  SharedMemory memory;
  AbsorbedBlock<Products, kItems> block(p, memory);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  block.Run();
}

// Rows of any number, MlaAbsorbedTakes(args.shape).
template <typename Launcher>
void LaunchMlaAbsorbed(Launcher& launcher, const MlaAbsorbedArgs& args) {
  AbsorbedParams params(args);
  if (params.rows == 0) return;
  int64_t item_blocks = args.plan.max_items * params.head_blocks;
  if (args.max_blocks > 0 && item_blocks > args.max_blocks) item_blocks = args.max_blocks;
  LaunchShape shape{.name = "mla_absorbed", .threads = kAbsorbedThreads, .overlaps_earlier = true};
  const auto launch = [&]<typename Products>(Products*) {
    shape.shared_bytes = AbsorbedBlock<Products, false>::SharedBytesOf(args.shape, params.stages);
    if (shape.shared_bytes > launcher.max_shared_bytes()) {
      params.stages = 1;
      shape.shared_bytes = AbsorbedBlock<Products, false>::SharedBytesOf(args.shape, params.stages);
    }
    if (args.split_rows) {
      shape.grid = {.x = item_blocks};
      launcher.Launch(shape, &AbsorbedKernel<Products, true>, params);
    }
    shape.grid = {.x = params.rows * params.head_blocks};
    launcher.Launch(shape, &AbsorbedKernel<Products, false>, params);
  };
  const int dims = args.shape.latent_dim + args.shape.rope_dim;
  if (args.pages.dtype == DType::kFloat32) {
    launch(static_cast<FmaProducts<4>*>(nullptr));
  } else if (dims <= kAbsorbedWarps * 16) {
    launch(static_cast<MmaProducts<1, 1>*>(nullptr));
  } else {
    launch(static_cast<MmaProducts<5, 4>*>(nullptr));
  }
  if (args.split_rows) {
    LaunchMlaCombine(launcher, params, args.out.rows);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_ABSORBED_CUH_
