// Which rows a block owns, and which keys a row sees.
#ifndef QUIRE_ATTENTION_CUDA_ROW_RANGES_CUH_
#define QUIRE_ATTENTION_CUDA_ROW_RANGES_CUH_

#include <cstdint>

#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Rows of one entry. Positions are those of the sequence.
struct RowTile {
  int entry;
  int first_row;   // of the batch
  int rows;        // 0: no work
  int entry_rows;  // of the whole entry
  int row_in_entry;
};

// Tile `index` of all tiles of kRows rows that the entries from row `first_row` on are cut into;
// the last tile of an entry, which sees most keys, comes first. The host, which does not know where
// entries begin, launches NumRowTiles of them. All lanes of a warp call it, for the same tile.
template <int kRows>
QUIRE_DEVICE RowTile FindRowTile(Global<const int32_t> query_start, int num_entries,
                                 int64_t first_row, int index) {
  for (int first = 0; first < num_entries; first += kWarpLanes) {
    const int entry = first + LaneIndex();
    const int begin = entry < num_entries ? query_start.Load(entry) : 0;
    const int end = entry < num_entries ? query_start.Load(entry + 1) : 0;
    const int tiles = begin >= first_row ? (end - begin + kRows - 1) / kRows : 0;
    int last = tiles;  // of this entry and those before it
    QUIRE_UNROLL
    for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) {
      const int before = ShuffleUp(last, lanes);
      if (LaneIndex() >= lanes) last += before;
    }
    const bool mine = index >= last - tiles && index < last;
    if (AnyLane(mine)) {
      const int skipped = mine ? (last - 1 - index) * kRows : 0;
      RowTile tile;
      tile.entry = WarpReduce(mine ? entry : 0, Plus());
      tile.entry_rows = WarpReduce(mine ? end - begin : 0, Plus());
      tile.row_in_entry = WarpReduce(skipped, Plus());
      tile.first_row = WarpReduce(mine ? begin + skipped : 0, Plus());
      const int left = tile.entry_rows - tile.row_in_entry;
      tile.rows = left < kRows ? left : kRows;
      return tile;
    }
    index -= ShuffleFrom(last, kWarpLanes - 1);
  }
  return {};
}

// On the host: as many as `rows` rows can take.
constexpr int64_t NumRowTiles(int64_t rows, int num_entries, int tile_rows) {
  return rows == 0 ? 0 : (rows + tile_rows - 1) / tile_rows + num_entries;
}

inline constexpr int kNoBound = 1 << 30;

// Positions [begin, end).
struct KeySpan {
  int begin;
  int end;

  QUIRE_DEVICE bool Holds(int position) const { return position >= begin && position < end; }
  QUIRE_DEVICE bool IsEmpty() const { return begin >= end; }
};

// A row at position p sees the keys of [max(first, p - back), min(last, p + ahead + 1)).
struct KeyRange {
  int first;
  int last;
  int back;
  int ahead;
  // Distances count from the row to position + shift, and rows behind `farthest` stand there.
  int shift = 0;
  int farthest = kNoBound;

  QUIRE_DEVICE KeySpan Of(int p) const { return OfRows(p, p); }
  // What the rows at positions [p, q] see, one or another of them.
  QUIRE_DEVICE KeySpan OfRows(int p, int q) const {
    const int begin = back >= kNoBound || p - back < first ? first : p - back;
    const int end = ahead >= kNoBound || q + ahead + 1 > last ? last : q + ahead + 1;
    return {begin, end};
  }
  // What each of them sees.
  QUIRE_DEVICE KeySpan OfEachRow(int p, int q) const { return {Of(q).begin, Of(p).end}; }
  QUIRE_DEVICE int Distance(int p, int position) const {
    return position + shift - (p < farthest ? p : farthest);
  }
};

// KvPrefix, and the window behind it.
struct PagedRangeParams {
  int window;         // 0: none
  int prefix_tokens;  // 0: none
  bool prefix_shared;

  QUIRE_DEVICE KeyRange Prefix() const {
    return prefix_shared ? KeyRange{.first = 0,
                                    .last = prefix_tokens,
                                    .back = kNoBound,
                                    .ahead = kNoBound,
                                    .shift = -prefix_tokens}
                         : KeyRange{.first = 0,
                                    .last = prefix_tokens,
                                    .back = kNoBound,
                                    .ahead = 0,
                                    .farthest = prefix_tokens + window - 1};
  }
  QUIRE_DEVICE KeyRange Window() const {
    return {.first = prefix_shared ? 0 : prefix_tokens,
            .last = kNoBound,
            .back = window > 0 ? window - 1 : kNoBound,
            .ahead = 0};
  }
};

// Of an encoder's sequence of `rows`.
QUIRE_DEVICE KeyRange EncoderRange(int window, int rows) {
  const int around = window > 0 ? window / 2 : kNoBound;
  return {.first = 0, .last = rows, .back = around, .ahead = around};
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_ROW_RANGES_CUH_
