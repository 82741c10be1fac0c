// Absorbed attention: the heads of one query over the latent rows of their sequence, which serve as
// keys and, but for their rotated dims, as values. Tiles, splits and merges are those of
// gqa_kernels.cc.
//
// A page is the right-hand side of the scores as it lies. That of the values' product has the same
// numbers with tokens paired in place of dims, so each tile is turned once, into scratch memory,
// for all heads of the item: 4 shuffles a vector, against 2 rows / kLanes FMAs an element.
//
// FLOPs per byte of cache: about 4 heads / bytes of an element.
#include "attention/cpu/kernels/gqa_softmax.h"
#include "attention/cpu/kernels/gqa_tiles.h"
#include "attention/cpu/kernels/gqa_work.h"
#include "attention/cpu/kernels/isa_kernels.h"
#include "attention/cpu/kernels/pack_rows.h"

namespace quire::QUIRE_ISA {
namespace {

struct MlaWork : Work {
  const MlaItem& mla;
  int64_t latent_dim;
  int64_t score_dim;  // dims of the product that all heads share: R, and Dr where one k_r does
  float* values;      // [kTileTokens / P][o_stride] words of the tile
  float* rope_score;  // [kTileTokens]

  explicit MlaWork(const MlaItem& item)
      : Work(item.gqa),
        mla(item),
        latent_dim(item.gqa.value_dim),
        score_dim(item.gqa.value_dim + (item.rope_stride == 0 ? item.rope_dim : 0)),
        values(item.gqa.scratch + Work::ScratchNumbers(item.gqa.head_dim, item.gqa.value_dim)),
        rope_score(values + kTileTokens * o_stride) {}

  static int64_t ScratchNumbers(int64_t head_dim, int64_t value_dim) {
    return Work::ScratchNumbers(head_dim, value_dim) +
           kTileTokens * (RoundUpToLanes(value_dim) + 1);
  }

  // The rotated part of the query of row `row`, where heads have keys of their own.
  template <TileKind kKind>
  float* RopeQuery(int64_t row) const {
    return q + RowNumbers(kKind, rows * latent_dim + row * mla.rope_dim);
  }
};

template <TileKind kKind>
void PackQueries(const MlaWork& w) {
  const MlaItem& item = w.mla;
  const auto latent = [&](int64_t row, int64_t d, int lanes) {
    return LoadElements(item.gqa.q, item.q_type, row * w.latent_dim + d, lanes);
  };
  const auto rope = [&](int64_t row, int64_t d, int lanes) {
    return LoadElements(item.q_rope, item.q_rope_type, row * item.q_rope_stride + d, lanes);
  };
  for (int64_t block = 0; block < w.num_blocks; ++block) {
    const int64_t row = w.BlockRow(block);
    const auto rows = static_cast<int>(w.BlockRow(block + 1) - row);
    float* out = w.q + RowNumbers(kKind, row * w.score_dim);
    PackRows<kKind>(row, rows, w.latent_dim, out, latent);
    if (item.rope_stride != 0) continue;
    PackRows<kKind>(row, rows, item.rope_dim, out + RowNumbers(kKind, rows * w.latent_dim), rope);
  }
  if (item.rope_stride == 0) return;
  for (int64_t row = 0; row < w.rows; ++row) {
    PackRows<kKind>(row, 1, item.rope_dim, w.RopeQuery<kKind>(row), rope);
  }
}

// s += q_r k_r^T for the page at column `column` of the tile, where each head has a k_r.
template <TileKind kKind>
void AddRopeScores(const MlaWork& w, const float* page, int64_t column) {
  const int64_t block_tokens = w.item.kv.block_tokens;
  for (int64_t row = 0; row < w.rows; ++row) {
    const int64_t dim = w.mla.first_rope + row * w.mla.rope_stride;
    ScoreRows<kKind>(1, block_tokens, w.RopeQuery<kKind>(row),
                     page + dim / PairOf(kKind) * block_tokens, w.mla.rope_dim / PairOf(kKind), {},
                     w.rope_score);
    float* s = w.s + row * kTileTokens + column;
    for (int64_t t = 0; t < block_tokens; t += kLanes) {
      Store(s + t, Add(Load(s + t), Load(w.rope_score + t)));
    }
  }
}

// The latents of the page's first `tokens` tokens as rows of values from token `first` of the tile
// on. Up to the next whole vector of tokens they are zeros.
template <TileKind kKind>
void TurnPage(const MlaWork& w, const float* page, int64_t first, int64_t tokens) {
  constexpr int kPair = static_cast<int>(PairOf(kKind));
  constexpr int kVecs = kLanes / kPair;  // of a square of kLanes dims x kLanes tokens
  const int64_t block_tokens = w.item.kv.block_tokens;
  const int64_t words = w.latent_dim / kPair;
  for (int64_t token = 0; token < tokens; token += kLanes) {
    const int lanes = LanesOf(tokens - token);
    float* out = w.values + (first + token) / kPair * w.o_stride;
    for (int64_t word = 0; word < words; word += kVecs) {
      Vec x[kVecs];
      for (int i = 0; i < kVecs; ++i) {
        x[i] = word + i < words ? Load(page + (word + i) * block_tokens + token) : Zero();
        if (lanes < kLanes) x[i] = KeepLanes(x[i], 0, lanes, 0.0F);
      }
      if constexpr (kPair == 1) {
        Transpose(x);
      } else {
        TransposePairs(x);
      }
      for (int i = 0; i < kVecs; ++i) Store(out + i * w.o_stride + word * kPair, x[i]);
    }
  }
}

// o = o factor + p c for the first `tokens` tokens of the tile.
template <TileKind kKind>
void AddValues(const MlaWork& w, int64_t tokens) {
  ValueRun run = {w.values, (tokens + PairOf(kKind) - 1) / PairOf(kKind), 0, {}};
  ValueArgs t;
  t.runs = &run;
  t.num_runs = 1;
  t.dim = w.o_stride;
  t.o_stride = w.o_stride;
  t.num_groups = 1;
  for (int64_t block = 0; block < w.num_blocks; ++block) {
    const int64_t row = w.BlockRow(block);
    t.p = w.p + RowNumbers(kKind, row * kTileTokens);
    t.o = w.state.o + row * w.o_stride;
    t.factor = w.factor + row;
    t.group = 0;
    ValueRows<kKind>(static_cast<int>(w.BlockRow(block + 1) - row), t);
  }
}

// The lines of the page behind that of `position` that row block `block` asks for: a share each.
Lookahead AskForNext(const MlaWork& w, int64_t position, int64_t block, int64_t steps) {
  const int64_t next = position + w.item.kv.block_tokens;
  if (next >= w.item.kv_len) return {};
  const int64_t lines = steps * w.item.kv.block_tokens / 16;  // 16 words each
  const int64_t share = (lines + w.num_blocks - 1) / w.num_blocks;
  return {w.KeysAt(next) + block * share * 64,
          static_cast<int>((share * kTileBatch + steps - 1) / steps)};
}

// The tile of positions from `tile` on, of which those before `end` are seen.
template <TileKind kKind>
void RunTile(const MlaWork& w, int64_t tile, int64_t end) {
  const int64_t block_tokens = w.item.kv.block_tokens;
  const int64_t steps = w.score_dim / PairOf(kKind);
  for (int64_t position = tile; position < end; position += block_tokens) {
    const auto* page = reinterpret_cast<const float*>(w.KeysAt(position));
    for (int64_t block = 0; block < w.num_blocks; ++block) {
      const int64_t row = w.BlockRow(block);
      ScoreRows<kKind>(static_cast<int>(w.BlockRow(block + 1) - row), block_tokens,
                       w.q + RowNumbers(kKind, row * w.score_dim), page, steps,
                       AskForNext(w, position, block, steps),
                       w.s + row * kTileTokens + (position - tile));
    }
    if (w.mla.rope_stride != 0) AddRopeScores<kKind>(w, page, position - tile);
    TurnPage<kKind>(w, page, position - tile, Min64(block_tokens, end - position));
  }
  for (int64_t row = 0; row < w.rows; ++row) {
    SoftmaxRow(w, row, tile, 0, end - tile);
    if constexpr (kKind == TileKind::kBf16Dot) RoundProbabilities(w, row);
  }
  AddValues<kKind>(w, end - tile);
}

// w.state = the state after split number `split` alone.
template <TileKind kKind>
void RunSplit(const MlaWork& w, int64_t split) {
  w.Clear(w.state);
  const int64_t split_end = Min64(w.SeenByAny().end, (split + 1) * kSplitTokens);
  for (int64_t tile = split * kSplitTokens; tile < split_end; tile += kTileTokens) {
    RunTile<kKind>(w, tile, Min64(split_end, tile + kTileTokens));
  }
}

template <TileKind kKind>
void RunItem(const MlaItem& item) {
  const MlaWork w(item);
  PackQueries<kKind>(w);
  w.Clear(w.total);
  const int64_t end = w.SeenByAny().end;
  for (int64_t split = 0; split * kSplitTokens < end; ++split) {
    RunSplit<kKind>(w, split);
    MergeState(w);
  }
  StoreTotal(w);
}

template <TileKind kKind>
void RunItemSplit(const MlaItem& item, int64_t split, float* partial) {
  const MlaWork w(item);
  PackQueries<kKind>(w);
  RunSplit<kKind>(w, split);
  StorePartial(w, partial);
}

}  // namespace

int64_t MlaScratchNumbers(int64_t head_dim, int64_t value_dim) {
  return MlaWork::ScratchNumbers(head_dim, value_dim);
}

void MlaAbsorbed(const MlaItem& item) {
  item.gqa.kv.type == ElementType::kFloat32 ? RunItem<KindOf(ElementType::kFloat32)>(item)
                                            : RunItem<KindOf(ElementType::kBFloat16)>(item);
}

void MlaAbsorbedSplit(const MlaItem& item, int64_t split, float* partial) {
  item.gqa.kv.type == ElementType::kFloat32
      ? RunItemSplit<KindOf(ElementType::kFloat32)>(item, split, partial)
      : RunItemSplit<KindOf(ElementType::kBFloat16)>(item, split, partial);
}

}  // namespace quire::QUIRE_ISA
