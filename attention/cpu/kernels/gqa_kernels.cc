// Attention of some rows over the pages of their sequence: online softmax over tiles of 128 keys,
// splits of 512 keys merged in order (Milakov & Gimelshein 2018; Dao et al. 2022). One call owns
// the rows of its item.
//
// Every sum runs over absolute tiles and splits, and a key that a row does not see adds an exact
// zero to it, so the row's bits do not depend on the rows that it shares an item with.
#include "attention/cpu/kernels/gqa_softmax.h"
#include "attention/cpu/kernels/gqa_tiles.h"
#include "attention/cpu/kernels/gqa_work.h"
#include "attention/cpu/kernels/isa_kernels.h"
#include "attention/cpu/kernels/pack_rows.h"

namespace quire::QUIRE_ISA {
namespace {

// The rows' queries as tiles take them; `q` and `q_stride` as in the item.
template <TileKind kKind>
void PackQueries(const Work& w, const void* q, int64_t q_stride) {
  const GqaItem& item = w.item;
  const int64_t dim = item.head_dim;
  const auto load = [&](int64_t row, int64_t d, int lanes) {
    const int64_t at = row / item.heads * q_stride + row % item.heads * dim;
    return LoadElements(q, item.type, at + d, lanes);
  };
  for (int64_t block = 0; block < w.num_blocks; ++block) {
    const int64_t begin = w.BlockRow(block);
    PackRows<kKind>(begin, static_cast<int>(w.BlockRow(block + 1) - begin), dim,
                    w.q + RowNumbers(kKind, begin * dim), load);
  }
}

// The lines of the keys or values of one page, of `dim` dims, asked for over `steps` steps of
// tiles.
Lookahead AskFor(const GqaItem& item, const char* panel, int64_t dim, int64_t steps) {
  const int64_t element = item.kv.type == ElementType::kFloat32 ? 4 : 2;
  const int64_t lines = dim * item.kv.block_tokens * element / 64;
  return {panel, static_cast<int>((lines * kTileBatch + steps - 1) / steps)};
}

// s = q k^T for the pages of the tile at `tile` that hold positions of `seen`. Each page's values
// are asked for meanwhile.
template <TileKind kKind>
void ScoreTile(const Work& w, int64_t tile, Range seen) {
  const int64_t block_tokens = w.item.kv.block_tokens;
  const int64_t steps = w.item.head_dim / PairOf(kKind);
  for (int64_t page = seen.begin / block_tokens * block_tokens; page < seen.end;
       page += block_tokens) {
    const char* keys = w.KeysAt(page);
    Lookahead ahead =
        AskFor(w.item, keys + (w.item.kv.values - w.item.kv.keys), w.item.value_dim, steps);
    for (int64_t block = 0; block < w.num_blocks; ++block) {
      const int64_t row = w.BlockRow(block);
      ScoreRows<kKind>(static_cast<int>(w.BlockRow(block + 1) - row), block_tokens,
                       w.q + RowNumbers(kKind, row * w.item.head_dim),
                       reinterpret_cast<const float*>(keys), steps, ahead,
                       w.s + row * kTileTokens + (page - tile));
      ahead.lines = 0;
    }
  }
}

// A pair of tokens with the one that is not seen made zero: whatever lies there may be NaN.
void MaskPair(const float* words, int64_t dim, bool keep_even, float* out) {
  const uint32_t mask = keep_even ? 0x0000ffffU : 0xffff0000U;
  for (int64_t d = 0; d < dim; ++d) {
    uint32_t pair = 0;
    __builtin_memcpy(&pair, words + d, 4);
    pair &= mask;
    __builtin_memcpy(out + d, &pair, 4);
  }
}

// Three a page, of which there are at most kTileTokens / 16.
constexpr int kMaxRuns = 3 * static_cast<int>(kTileTokens) / 16;

// The runs of V that hold the positions of `seen`, which lie in one tile.
template <TileKind kKind>
int FindRuns(const Work& w, int64_t tile, Range seen, ValueRun* runs) {
  constexpr int64_t kPair = PairOf(kKind);
  const GqaItem& item = w.item;
  const int64_t block_tokens = item.kv.block_tokens;
  const int64_t dim = item.value_dim;
  int count = 0;
  for (int64_t page = seen.begin / block_tokens * block_tokens; page < seen.end;
       page += block_tokens) {
    const auto* values =
        reinterpret_cast<const float*>(w.KeysAt(page) + (item.kv.values - item.kv.keys));
    const Range here = Intersect(seen, {page, page + block_tokens});
    int64_t begin = here.begin - page;  // tokens of the page
    int64_t end = here.end - page;
    if (begin % kPair != 0) {
      MaskPair(values + begin / kPair * dim, dim, false, w.edge);
      runs[count++] = {w.edge, 1, page - tile + begin - 1, {}};
      ++begin;
    }
    const bool odd_end = end % kPair != 0 && end > begin;
    if (odd_end) --end;
    if (begin < end) {
      runs[count++] = {
          values + begin / kPair * dim, (end - begin) / kPair, page - tile + begin, {}};
    }
    if (odd_end) {
      MaskPair(values + end / kPair * dim, dim, true, w.edge + w.o_stride);
      runs[count++] = {w.edge + w.o_stride, 1, page - tile + end, {}};
    }
  }
  return count;
}

// o = o factor + p v for rows [row_begin, row_end) over the positions of `seen`, all of one tile.
// The keys of the next tile are asked for meanwhile, a page in each run.
template <TileKind kKind>
void AddValues(const Work& w, int64_t row_begin, int64_t row_end, int64_t tile, Range seen) {
  ValueRun runs[kMaxRuns];
  const int num_runs = FindRuns<kKind>(w, tile, seen, runs);
  const int64_t positions_end = w.SeenByAny().end;
  for (int run = 0; run < num_runs; ++run) {
    const int64_t next = tile + kTileTokens + run * w.item.kv.block_tokens;
    if (next < positions_end) {
      runs[run].ahead = AskFor(w.item, w.KeysAt(next), w.item.head_dim, runs[run].steps);
    }
  }
  const int64_t rows = row_end - row_begin;
  const int64_t num_blocks = (rows + kTileRows - 1) / kTileRows;
  for (int64_t block = 0; block < num_blocks; ++block) {
    const int64_t row = row_begin + rows * block / num_blocks;
    const int64_t row_after = row_begin + rows * (block + 1) / num_blocks;
    ValueArgs t;
    t.p = w.p + RowNumbers(kKind, row * kTileTokens);
    t.runs = runs;
    t.num_runs = num_runs;
    t.dim = w.item.value_dim;
    t.o = w.state.o + row * w.o_stride;
    t.o_stride = w.o_stride;
    t.factor = w.factor + row;
    t.group = 0;
    t.num_groups = 1;
    ValueRows<kKind>(static_cast<int>(row_after - row), t);
    for (int run = 0; run < num_runs; ++run) runs[run].ahead.lines = 0;
  }
}

// Whether some value that only a part of the rows sees is not finite: 0 times it is NaN.
template <TileKind kKind>
bool HasNonFiniteValue(const Work& w, int64_t tile, Range seen) {
  ValueRun runs[kMaxRuns];
  const int num_runs = FindRuns<kKind>(w, tile, seen, runs);
  for (int run = 0; run < num_runs; ++run) {
    const int64_t words = runs[run].steps * w.item.value_dim;
    for (int64_t i = 0; i < words; i += kLanes) {
      const int lanes = static_cast<int>(Min64(kLanes, words - i));
      const Vec x = LoadFirst(runs[run].words + i, lanes);
      if (kKind == TileKind::kFloat ? HasNonFinite(x) : HasNonFiniteBf16(x)) return true;
    }
  }
  return false;
}

// The tile of positions from `tile` on.
template <TileKind kKind>
void RunTile(const Work& w, int64_t tile) {
  const GqaItem& item = w.item;
  const Range here = {tile, tile + kTileTokens};
  const Range any = Intersect(w.SeenByAny(), here);
  ScoreTile<kKind>(w, tile, any);
  bool mixed = false;
  for (int64_t row = 0; row < w.rows; ++row) {
    const Range seen = Intersect(w.Seen(row / item.heads), here);
    mixed = mixed || seen.begin != any.begin || seen.end != any.end;
    SoftmaxRow(w, row, tile, seen.begin - tile, seen.end - tile);
    if constexpr (kKind == TileKind::kBf16Dot) RoundProbabilities(w, row);
  }
  if (!mixed || !HasNonFiniteValue<kKind>(w, tile, any)) {
    AddValues<kKind>(w, 0, w.rows, tile, any);
    return;
  }
  for (int64_t i = 0; i < item.queries; ++i) {
    const Range seen = Intersect(w.Seen(i), here);
    if (!seen.empty()) AddValues<kKind>(w, i * item.heads, (i + 1) * item.heads, tile, seen);
  }
}

constexpr Range SplitRange(int64_t split) {
  return {split * kSplitTokens, (split + 1) * kSplitTokens};
}

// w.state = the state after the keys of `range`.
template <TileKind kKind>
void RunRange(const Work& w, Range range) {
  w.Clear(w.state);
  const Range seen = Intersect(w.SeenByAny(), range);
  if (seen.empty()) return;
  for (int64_t tile = seen.begin / kTileTokens * kTileTokens; tile < seen.end;
       tile += kTileTokens) {
    RunTile<kKind>(w, tile);
  }
}

// w.state = the state after the prefix alone. Leaves w at the sequence's keys, with the queries of
// the prefix packed.
template <TileKind kKind>
void RunPrefix(Work& w) {
  const PrefixArgs& prefix = w.item.prefix;
  prefix.q2 == nullptr ? PackQueries<kKind>(w, w.item.q, w.item.q_stride)
                       : PackQueries<kKind>(w, prefix.q2, prefix.q2_stride);
  w.in_prefix = true;
  w.blocks = prefix.blocks;
  w.first_block = 0;
  RunRange<kKind>(w, {0, prefix.tokens});
  w.in_prefix = false;
  w.blocks = w.item.kv.blocks;
  w.first_block = w.item.kv.first_block;
}

template <TileKind kKind>
void RunItem(const GqaItem& item) {
  Work w(item);
  w.Clear(w.total);
  if (item.prefix.tokens > 0) {
    RunPrefix<kKind>(w);
    MergeState(w);
  }
  PackQueries<kKind>(w, item.q, item.q_stride);
  const Range seen = w.SeenByAny();
  for (int64_t split = seen.begin / kSplitTokens; split * kSplitTokens < seen.end; ++split) {
    RunRange<kKind>(w, SplitRange(split));
    MergeState(w);
  }
  StoreTotal(w);
}

template <TileKind kKind>
void RunItemSplit(const GqaItem& item, int64_t split, float* partial) {
  Work w(item);
  if (split == kPrefixSplit) {
    RunPrefix<kKind>(w);
  } else {
    PackQueries<kKind>(w, item.q, item.q_stride);
    RunRange<kKind>(w, SplitRange(split));
  }
  StorePartial(w, partial);
}

}  // namespace

int64_t GqaScratchNumbers(int64_t head_dim, int64_t value_dim) {
  return Work::ScratchNumbers(head_dim, value_dim);
}

void Gqa(const GqaItem& item) {
  item.kv.type == ElementType::kFloat32 ? RunItem<KindOf(ElementType::kFloat32)>(item)
                                        : RunItem<KindOf(ElementType::kBFloat16)>(item);
}

void GqaSplit(const GqaItem& item, int64_t split, float* partial) {
  item.kv.type == ElementType::kFloat32
      ? RunItemSplit<KindOf(ElementType::kFloat32)>(item, split, partial)
      : RunItemSplit<KindOf(ElementType::kBFloat16)>(item, split, partial);
}

void GqaMerge(const GqaItem& item, float* total, int64_t splits, const float* partials) {
  const int64_t rows = item.queries * item.heads;
  const int64_t dim = item.value_dim;
  float* m = total + rows * dim;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t split = 0; split < splits; ++split) {
      const float* other = partials + split * PartialNumbers(rows, dim);
      const float* other_m = other + rows * dim;
      MergeRow(dim, total + row * dim, m + row, m + rows + row, other + row * dim, other_m[row],
               other_m[rows + row]);
    }
    StoreRow(item, row, total + row * dim, m[row], m[rows + row]);
  }
}

}  // namespace quire::QUIRE_ISA
