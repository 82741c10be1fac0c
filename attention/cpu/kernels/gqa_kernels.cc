// Attention of some rows over the pages of their sequence: online softmax over tiles of 128 keys,
// splits of 512 keys merged in order (Milakov & Gimelshein 2018; Dao et al. 2022). One call owns
// the rows of its item.
//
// Every sum runs over absolute tiles and splits, and a key that a row does not see adds an exact
// zero to it, so the row's bits do not depend on the rows that it shares an item with.
//
// Over 400 lines: one kernel, whose steps share their tiles and the item they work on.
#include "attention/cpu/kernels/gqa_tiles.h"
#include "attention/cpu/kernels/isa_kernels.h"
#include "core/cpu/simd/interleave.h"

namespace quire::QUIRE_ISA {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();

int64_t Min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t Max64(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t RoundUpToLanes(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Positions [begin, end).
struct Range {
  int64_t begin;
  int64_t end;
  bool empty() const { return begin >= end; }
};

Range Intersect(Range a, Range b) { return {Max64(a.begin, b.begin), Min64(a.end, b.end)}; }

// What query `i` of the item sees.
Range Seen(const GqaItem& item, int64_t i) {
  const int64_t position = item.first_position + i;
  return {item.window > 0 ? Max64(0, position - item.window + 1) : 0, position + 1};
}

// What some query of the item sees.
Range SeenByAny(const GqaItem& item) {
  return {Seen(item, 0).begin, Seen(item, item.queries - 1).end};
}

// Softmax state of the item's rows: see PartialNumbers.
struct State {
  float* o;  // [rows, o_stride]
  float* m;  // [rows]
  float* l;  // [rows]
  int64_t o_stride;
};

// What a call keeps in item.scratch.
struct Work {
  const GqaItem& item;
  int64_t rows;
  int64_t num_blocks;  // of rows, of nearly equal size: the register tiles
  int64_t o_stride;    // D rounded up to vectors
  float* q;            // blocks of [D, rows] interleaved
  float* s;            // [rows, kTileTokens] scores, then probabilities
  float* p;            // where the probabilities are read: s, or pairs of bf16
  float* factor;       // [rows] of this tile
  float* edge;         // [2][o_stride] pairs of which one token is not seen
  State state;         // of the split at work
  State total;         // of the splits before

  int64_t BlockRow(int64_t block) const { return rows * block / num_blocks; }
};

Work MakeWork(const GqaItem& item) {
  const int64_t rows = item.queries * item.heads;
  const int64_t o_stride = RoundUpToLanes(item.head_dim);
  float* at = item.scratch;
  const auto take = [&at](int64_t numbers) {
    float* taken = at;
    at += numbers;
    return taken;
  };
  Work w{item,     rows,    (rows + kTileRows - 1) / kTileRows,
         o_stride, nullptr, nullptr,
         nullptr,  nullptr, nullptr,
         {},       {}};
  w.q = take(kItemRows * item.head_dim);
  w.s = take(kItemRows * kTileTokens);
  w.p = kHasBf16Dot && item.kv.type == ElementType::kBFloat16 ? take(kItemRows * kTileTokens / 2)
                                                              : w.s;
  w.factor = take(kItemRows);
  w.edge = take(2 * o_stride);
  w.state = {take(kItemRows * o_stride), take(kItemRows), take(kItemRows), o_stride};
  w.total = {take(kItemRows * o_stride), take(kItemRows), take(kItemRows), o_stride};
  return w;
}

void Clear(const Work& w, const State& state) {
  for (int64_t row = 0; row < w.rows; ++row) {
    for (int64_t d = 0; d < w.o_stride; d += kLanes) Store(state.o + row * w.o_stride + d, Zero());
    state.m[row] = kMinusInfinity;
    state.l[row] = 0.0F;
  }
}

// The rows' queries as tiles take them.
template <TileKind kKind>
void PackQueries(const Work& w) {
  const GqaItem& item = w.item;
  const int64_t dim = item.head_dim;
  for (int64_t block = 0; block < w.num_blocks; ++block) {
    const int64_t begin = w.BlockRow(block);
    const auto row_at = [&](int r) {
      const int64_t row = begin + r;
      return row / item.heads * item.q_stride + row % item.heads * dim;
    };
    const auto load = [&](int64_t at, int64_t left) {
      return left <= 0 ? Zero()
                       : LoadElements(item.q, item.type, at, static_cast<int>(Min64(kLanes, left)));
    };
    Interleave(static_cast<int>(w.BlockRow(block + 1) - begin), RowNumbers(kKind, dim),
               w.q + RowNumbers(kKind, begin * dim), [&](int r, int64_t i) {
                 if constexpr (kKind != TileKind::kBf16Dot) return load(row_at(r) + i, dim - i);
                 uint16_t rounded[2 * kLanes];
                 StoreBf16(rounded, load(row_at(r) + 2 * i, dim - 2 * i));
                 StoreBf16(rounded + kLanes,
                           load(row_at(r) + 2 * i + kLanes, dim - 2 * i - kLanes));
                 return LoadPairsFirst(rounded, 2 * kLanes);
               });
  }
}

// The keys of the page that holds `position`; the values lie kv.values - kv.keys behind.
const char* KeysAt(const GqaItem& item, int64_t position) {
  const int64_t page = item.kv.blocks[position / item.kv.block_tokens - item.kv.first_block];
  return item.kv.keys + page * item.kv.page_stride_bytes;
}

// The lines of the keys or values of one page, asked for over `steps` steps of tiles.
Lookahead AskFor(const GqaItem& item, const char* panel, int64_t steps) {
  const int64_t element = item.kv.type == ElementType::kFloat32 ? 4 : 2;
  const int64_t lines = item.head_dim * item.kv.block_tokens * element / 64;
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
    const char* keys = KeysAt(w.item, page);
    Lookahead ahead = AskFor(w.item, keys + (w.item.kv.values - w.item.kv.keys), steps);
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

// One row of the tile: probabilities from scores, and its m and l. Columns [begin, end) are seen.
void SoftmaxRow(const Work& w, int64_t row, int64_t begin, int64_t end) {
  constexpr int kVecs = static_cast<int>(kTileTokens) / kLanes;
  float* s = w.s + row * kTileTokens;
  if (begin >= end) {
    for (int v = 0; v < kVecs; ++v) Store(s + v * kLanes, Zero());
    w.factor[row] = 1.0F;
    return;
  }
  const bool whole = begin == 0 && end == kTileTokens;
  Vec x[kVecs];
  Vec most = Broadcast(kMinusInfinity);
  for (int v = 0; v < kVecs; ++v) {
    x[v] = Load(s + v * kLanes);
    if (!whole) {
      const auto first = static_cast<int>(Min64(kLanes, Max64(0, begin - v * kLanes)));
      const auto last = static_cast<int>(Min64(kLanes, Max64(0, end - v * kLanes)));
      x[v] = KeepLanes(x[v], first, last, kMinusInfinity);
    }
    most = Max(most, x[v]);
  }
  const float scale = w.item.scale * 0x1.715476p+0F;  // log2(e): powers of two from here on
  const float before = w.state.m[row];
  const float tile_most = ReduceMax(most) * scale;
  const float m = before > tile_most ? before : tile_most;
  Vec sum = Zero();
  for (int v = 0; v < kVecs; ++v) {
    const Vec p = Exp2(Fma(x[v], Broadcast(scale), Broadcast(-m)));
    sum = Add(sum, p);
    Store(s + v * kLanes, p);
  }
  float factor[kLanes];
  Store(factor, Exp2(Broadcast(before - m)));
  w.factor[row] = factor[0];
  w.state.m[row] = m;
  w.state.l[row] = w.state.l[row] * factor[0] + ReduceAdd(sum);
}

// The pairs of bf16 that vdpbf16ps takes.
void RoundProbabilities(const Work& w, int64_t row) {
  auto* out = reinterpret_cast<uint16_t*>(w.p + row * kTileTokens / 2);
  for (int64_t t = 0; t < kTileTokens; t += kLanes) {
    StoreBf16(out + t, Load(w.s + row * kTileTokens + t));
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
  const int64_t dim = item.head_dim;
  int count = 0;
  for (int64_t page = seen.begin / block_tokens * block_tokens; page < seen.end;
       page += block_tokens) {
    const auto* values =
        reinterpret_cast<const float*>(KeysAt(item, page) + (item.kv.values - item.kv.keys));
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
  const int64_t positions_end = SeenByAny(w.item).end;
  for (int run = 0; run < num_runs; ++run) {
    const int64_t next = tile + kTileTokens + run * w.item.kv.block_tokens;
    if (next < positions_end) {
      runs[run].ahead = AskFor(w.item, KeysAt(w.item, next), runs[run].steps);
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
    t.head_dim = w.item.head_dim;
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
    const int64_t words = runs[run].steps * w.item.head_dim;
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
  const Range any = Intersect(SeenByAny(item), here);
  ScoreTile<kKind>(w, tile, any);
  bool mixed = false;
  for (int64_t row = 0; row < w.rows; ++row) {
    const Range seen = Intersect(Seen(item, row / item.heads), here);
    mixed = mixed || seen.begin != any.begin || seen.end != any.end;
    SoftmaxRow(w, row, seen.begin - tile, seen.end - tile);
    if constexpr (kKind == TileKind::kBf16Dot) RoundProbabilities(w, row);
  }
  if (!mixed || !HasNonFiniteValue<kKind>(w, tile, any)) {
    AddValues<kKind>(w, 0, w.rows, tile, any);
    return;
  }
  for (int64_t i = 0; i < item.queries; ++i) {
    const Range seen = Intersect(Seen(item, i), here);
    if (!seen.empty()) AddValues<kKind>(w, i * item.heads, (i + 1) * item.heads, tile, seen);
  }
}

// w.state = the state after split number `split` alone.
template <TileKind kKind>
void RunSplit(const Work& w, int64_t split) {
  Clear(w, w.state);
  const Range seen =
      Intersect(SeenByAny(w.item), {split * kSplitTokens, (split + 1) * kSplitTokens});
  for (int64_t tile = seen.begin / kTileTokens * kTileTokens; tile < seen.end;
       tile += kTileTokens) {
    RunTile<kKind>(w, tile);
  }
}

// One row of `total` with the same row of a later split.
void MergeRow(int64_t dim, float* total_o, float* total_m, float* total_l, const float* o, float m,
              float l) {
  if (m == kMinusInfinity) return;  // saw nothing in the split
  if (*total_m == kMinusInfinity) {
    for (int64_t d = 0; d < dim; ++d) total_o[d] = o[d];
    *total_m = m;
    *total_l = l;
    return;
  }
  const float most = *total_m > m ? *total_m : m;
  const Vec total_factor = Exp2(Broadcast(*total_m - most));
  const Vec factor = Exp2(Broadcast(m - most));
  for (int64_t d = 0; d < dim; d += kLanes) {
    const int lanes = static_cast<int>(Min64(kLanes, dim - d));
    const Vec sum =
        Fma(LoadFirst(o + d, lanes), factor, Mul(LoadFirst(total_o + d, lanes), total_factor));
    StoreFirst(total_o + d, sum, lanes);
  }
  float factors[2][kLanes];
  Store(factors[0], total_factor);
  Store(factors[1], factor);
  *total_m = most;
  *total_l = *total_l * factors[0][0] + l * factors[1][0];
}

// out = o / l, or zeros where the row saw nothing.
void StoreRow(const GqaItem& item, int64_t row, const float* o, float l) {
  const int64_t at = row / item.heads * item.out_stride + row % item.heads * item.head_dim;
  for (int64_t d = 0; d < item.head_dim; d += kLanes) {
    const int lanes = static_cast<int>(Min64(kLanes, item.head_dim - d));
    const Vec x = l == 0.0F ? Zero() : Div(LoadFirst(o + d, lanes), Broadcast(l));
    StoreElements(item.out, item.type, at + d, x, lanes);
  }
}

template <TileKind kKind>
void RunItem(const GqaItem& item) {
  Work w = MakeWork(item);
  PackQueries<kKind>(w);
  Clear(w, w.total);
  const Range seen = SeenByAny(item);
  for (int64_t split = seen.begin / kSplitTokens; split * kSplitTokens < seen.end; ++split) {
    RunSplit<kKind>(w, split);
    for (int64_t row = 0; row < w.rows; ++row) {
      MergeRow(item.head_dim, w.total.o + row * w.o_stride, w.total.m + row, w.total.l + row,
               w.state.o + row * w.o_stride, w.state.m[row], w.state.l[row]);
    }
  }
  for (int64_t row = 0; row < w.rows; ++row) {
    StoreRow(item, row, w.total.o + row * w.o_stride, w.total.l[row]);
  }
}

// The state in the form of PartialNumbers.
template <TileKind kKind>
void RunItemSplit(const GqaItem& item, int64_t split, float* partial) {
  const Work w = MakeWork(item);
  PackQueries<kKind>(w);
  RunSplit<kKind>(w, split);
  float* m = partial + w.rows * item.head_dim;
  for (int64_t row = 0; row < w.rows; ++row) {
    for (int64_t d = 0; d < item.head_dim; ++d) {
      partial[row * item.head_dim + d] = w.state.o[row * w.o_stride + d];
    }
    m[row] = w.state.m[row];
    m[w.rows + row] = w.state.l[row];
  }
}

}  // namespace

int64_t GqaScratchNumbers(int64_t head_dim) {
  const int64_t o_stride = RoundUpToLanes(head_dim);
  const int64_t row = head_dim + kTileTokens + kTileTokens / 2 + 1 + 2 * (o_stride + 2);
  return kItemRows * row + 2 * o_stride;
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

void GqaMerge(const GqaItem& item, int64_t splits, float* partials) {
  const int64_t rows = item.queries * item.heads;
  const int64_t dim = item.head_dim;
  float* m = partials + rows * dim;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t split = 1; split < splits; ++split) {
      const float* other = partials + split * PartialNumbers(rows, dim);
      const float* other_m = other + rows * dim;
      MergeRow(dim, partials + row * dim, m + row, m + rows + row, other + row * dim, other_m[row],
               other_m[rows + row]);
    }
    StoreRow(item, row, partials + row * dim, m[rows + row]);
  }
}

}  // namespace quire::QUIRE_ISA
