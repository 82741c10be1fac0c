// Products of packed rows and packed weights: one call owns one panel of 64 columns and a range of
// row blocks, and no other call writes there.
//
// FLOPs per byte of weights: 2 M / sizeof(weight). At M = 1 the panel streams through the core once
// at the speed of memory; from M = 30 or so the FMA units are the limit. In between both must be
// busy at once, so the panel is walked in slices that fit L1, and the products of one slice ask for
// the lines of a later one. (Measured at M = 8, N = 4096, K = 1024 on one core: 8.4 GB/s without
// asking ahead, 12 with it.)
#include "core/cpu/simd/interleave.h"
#include "core/cpu/simd/tile.h"
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

// Columns of a tile of a full block; a widened slice is laid out in groups of so many.
constexpr int kGroupVecs = TileVecs(kTileRows, kPanelColumns / kLanes);
constexpr int64_t kGroup = int64_t{kGroupVecs} * kLanes;

// Words of K in a slice (of all 64 columns: 16 KiB, or 32 KiB once widened). It divides SumChunk.
constexpr int64_t kSliceSteps = 64;
constexpr int64_t kSliceLines = kSliceSteps * kPanelColumns * 4 / 64;

// Slices between the one at work and the one asked for, into L2.
constexpr int64_t kSlicesAhead = 2;

// From this many blocks on widening a slice once beats widening it in every block's registers.
constexpr int64_t kWidenBlocks = 3;

struct TileArgs {
  const float* a;
  const float* b;
  int64_t b_step;
  int64_t steps;
  float* chain;  // [rows, 64] of the chunk so far
  float* sums;   // [rows, 64] of the chunks before
  bool begins;   // a chunk: the chain starts from zero
  bool ends;     // a chunk: the chain is added to the sums
  bool first;    // chunk: it becomes the sums
  Lookahead ahead;
};

template <TileKind kKind, int kRows, int kVecs>
[[gnu::noinline]] void RunTile(const TileArgs& t) {
  Vec c[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      c[r][v] = t.begins ? Zero() : Load(t.chain + r * kPanelColumns + v * kLanes);
    }
  }
  TileRun<kKind, kRows, kVecs, 1, kRows>(t.a, t.b, t.b_step, t.steps, t.ahead, c);
  float* out = t.ends ? t.sums : t.chain;
  const bool add = t.ends && !t.first;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      float* sum = out + r * kPanelColumns + v * kLanes;
      Store(sum, add ? Add(Load(sum), c[r][v]) : c[r][v]);
    }
  }
}

// A block of `rows` rows, and one group of columns of a widened slice.
template <int kRows>
void RunGroup(int rows, const TileArgs& t) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return RunGroup<kRows - 1>(rows, t);
  }
  RunTile<TileKind::kFloat, kRows, kGroupVecs>(t);
}

// All columns of a block straight from the panel.
template <TileKind kKind, int kRows>
void RunDirect(int rows, TileArgs t) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return RunDirect<kKind, kRows - 1>(rows, t);
  }
  constexpr int kVecs = TileVecs(kRows, kPanelColumns / kLanes);
  for (int64_t column = 0; column < kPanelColumns; column += int64_t{kVecs} * kLanes) {
    RunTile<kKind, kRows, kVecs>(t);
    t.b += kVecs * kLanes;
    t.chain += kVecs * kLanes;
    t.sums += kVecs * kLanes;
    t.ahead.next += (t.steps + kTileBatch - 1) / kTileBatch * t.ahead.lines * 64;
  }
}

// Columns of a direct tile of `rows` rows.
template <int kRows>
int64_t DirectColumns(int rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return DirectColumns<kRows - 1>(rows);
  }
  return int64_t{TileVecs(kRows, kPanelColumns / kLanes)} * kLanes;
}

// words [steps][64] pairs -> widened [64 / kGroup][2 steps][kGroup] fp32.
void WidenSlice(const float* words, int64_t steps, float* widened) {
  for (int64_t s = 0; s < steps; ++s) {
    const float* row = words + s * kPanelColumns;
    for (int64_t column = 0; column < kPanelColumns; column += kLanes) {
      const Vec pairs = Load(row + column);
      float* out =
          widened + (column / kGroup) * 2 * steps * kGroup + 2 * s * kGroup + column % kGroup;
      Store(out, EvenOfPairs(pairs));
      Store(out + kGroup, OddOfPairs(pairs));
    }
  }
}

int64_t BlockRow(const PanelGemmArgs& g, int64_t block) { return g.rows * block / g.num_blocks; }

// One slice of the panel times all row blocks. `t` has the slice's b, steps, chunk flags and next;
// `number` is the slice's place in packed rows of `row_numbers` numbers.
template <TileKind kKind>
void RunSlice(const PanelGemmArgs& g, TileArgs t, int64_t number, int64_t row_numbers) {
  const int64_t blocks = g.block_end - g.block_begin;
  const bool widen = kKind == TileKind::kBf16Widened && blocks >= kWidenBlocks;
  const int64_t first_row = BlockRow(g, g.block_begin);
  if (widen) {
    WidenSlice(t.b, t.steps, g.widened);
    t.b_step = kGroup;
    t.steps *= 2;
  }
  // The next slice's lines are asked for evenly over the steps of all tiles: in one burst they
  // would stall the first tile and leave memory idle in the others.
  const int64_t columns =
      widen ? kGroup : DirectColumns<kTileRows>(static_cast<int>(g.rows / g.num_blocks));
  const int64_t batches = blocks * (kPanelColumns / columns) * (t.steps / kTileBatch + 1);
  t.ahead.lines = static_cast<int>((kSliceLines + batches - 1) / batches);
  for (int64_t block = g.block_begin; block < g.block_end; ++block) {
    const int64_t row = BlockRow(g, block);
    const int rows = static_cast<int>(BlockRow(g, block + 1) - row);
    TileArgs tile = t;
    tile.a = g.packed_rows + row * row_numbers + number * rows;
    tile.chain += (row - first_row) * kPanelColumns;
    tile.sums += (row - first_row) * kPanelColumns;
    if (!widen) {
      RunDirect<kKind, kTileRows>(rows, tile);
      t.ahead.next += kPanelColumns / columns * (t.steps / kTileBatch) * t.ahead.lines * 64;
      continue;
    }
    tile.b = g.widened;
    for (int64_t column = 0; column < kPanelColumns; column += kGroup) {
      RunGroup<kTileRows>(rows, tile);
      tile.b += tile.steps * kGroup;
      tile.chain += kGroup;
      tile.sums += kGroup;
      tile.ahead.next += t.steps / kTileBatch * t.ahead.lines * 64;
    }
    t.ahead.next = tile.ahead.next;
  }
}

// The slice that is kSlicesAhead of the one at `begin`, in this panel or the next.
const char* SliceAhead(const PanelGemmArgs& g, int64_t begin, int64_t all_steps) {
  const int64_t slices = (all_steps + kSliceSteps - 1) / kSliceSteps;
  const int64_t ahead = begin / kSliceSteps + kSlicesAhead;
  const void* panel = ahead < slices ? g.panel : g.next_panel;
  const int64_t slice = ahead < slices ? ahead : ahead - slices;
  return static_cast<const char*>(panel) + slice * kSliceLines * 64;
}

template <TileKind kKind>
void Gemm(const PanelGemmArgs& g) {
  constexpr int64_t kPair = kKind == TileKind::kFloat ? 1 : 2;
  // Numbers of 4 bytes in a row of packed x.
  const int64_t row_numbers =
      kKind == TileKind::kBf16Dot ? g.padded_features / 2 : g.padded_features;
  const int64_t chunk_steps = SumChunk(g.in_features) / kPair;
  const int64_t all_steps = (g.in_features + kPair - 1) / kPair;
  const auto* panel = static_cast<const float*>(g.panel);
  for (int64_t begin = 0; begin < all_steps; begin += kSliceSteps) {
    const int64_t end = begin + kSliceSteps < all_steps ? begin + kSliceSteps : all_steps;
    TileArgs t;
    t.a = nullptr;
    t.b = panel + begin * kPanelColumns;
    t.b_step = kPanelColumns;
    t.steps = end - begin;
    t.chain = g.chain;
    t.sums = g.sums;
    t.begins = begin % chunk_steps == 0;
    t.ends = end % chunk_steps == 0 || end == all_steps;
    t.first = begin < chunk_steps;
    t.ahead.next = SliceAhead(g, begin, all_steps);
    RunSlice<kKind>(g, t, begin * StepNumbers(kKind), row_numbers);
  }
  const int64_t first_row = BlockRow(g, g.block_begin);
  const int64_t element = g.y_type == ElementType::kFloat32 ? 4 : 2;
  Finish({g.sums, kPanelColumns, BlockRow(g, g.block_end) - first_row, g.columns, g.bias,
          static_cast<char*>(g.y) + first_row * g.y_stride * element, g.y_stride, g.y_type});
}

int ClampCount(int64_t n, int64_t most) {
  if (n < 0) return 0;
  return static_cast<int>(n < most ? n : most);
}

void PackNumbers(const PackRowsArgs& p, ElementType type) {
  Interleave(p.rows, p.padded_features, p.packed, [&](int r, int64_t begin) {
    const int n = ClampCount(p.in_features - begin, kLanes);
    return n == 0 ? Zero() : LoadElements(p.x, type, r * p.x_stride + begin, n);
  });
}

void PackPairs(const PackRowsArgs& p) {
  const auto* x = static_cast<const uint16_t*>(p.x);
  Interleave(p.rows, p.padded_features / 2, p.packed, [&](int r, int64_t begin) {
    return LoadPairsFirst(x + r * p.x_stride + 2 * begin,
                          ClampCount(p.in_features - 2 * begin, 2 * kLanes));
  });
}

}  // namespace

void Finish(const FinishArgs& f) {
  for (int64_t r = 0; r < f.rows; ++r) {
    const float* sums = f.sums + r * f.sums_stride;
    for (int64_t n = 0; n < f.columns; n += kLanes) {
      const int lanes = ClampCount(f.columns - n, kLanes);
      Vec y = lanes == kLanes ? Load(sums + n) : LoadFirst(sums + n, lanes);
      if (f.bias != nullptr) y = Add(y, LoadFirst(f.bias + n, lanes));
      StoreElements(f.y, f.y_type, r * f.y_stride + n, y, lanes);
    }
  }
}

void PackRowsFloat(const PackRowsArgs& p) { PackNumbers(p, ElementType::kFloat32); }
void GemmFloat(const PanelGemmArgs& g) { Gemm<TileKind::kFloat>(g); }

void PackRowsBf16(const PackRowsArgs& p) {
  if constexpr (kHasBf16Dot) {
    PackPairs(p);
  } else {
    PackNumbers(p, ElementType::kBFloat16);
  }
}
void GemmBf16(const PanelGemmArgs& g) {
  Gemm<kHasBf16Dot ? TileKind::kBf16Dot : TileKind::kBf16Widened>(g);
}

}  // namespace quire::QUIRE_ISA
