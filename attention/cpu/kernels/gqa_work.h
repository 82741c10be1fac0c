// What one call of the attention kernels works on: its rows' ranges of keys and its scratch memory.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_GQA_WORK_H_
#define QUIRE_ATTENTION_CPU_KERNELS_GQA_WORK_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "core/cpu/simd/tile.h"

namespace quire::QUIRE_ISA {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr float kLog2E = 0x1.715476p+0F;  // scores become exponents of two

constexpr int64_t Min64(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t Max64(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t RoundUpToLanes(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Positions [begin, end).
struct Range {
  int64_t begin;
  int64_t end;
  bool empty() const { return begin >= end; }
};

inline Range Intersect(Range a, Range b) { return {Max64(a.begin, b.begin), Min64(a.end, b.end)}; }

// Softmax state of the item's rows: see PartialNumbers.
struct State {
  float* o;  // [rows, o_stride]
  float* m;  // [rows]
  float* l;  // [rows]
};

// What a call keeps in item.scratch, and which keys it is at: the prefix's or the sequence's.
struct Work {
  const GqaItem& item;
  bool in_prefix = false;
  const int32_t* blocks;  // as KvHead's
  int64_t first_block;
  int64_t rows;
  int64_t num_blocks;  // of rows, of nearly equal size: the register tiles
  int64_t o_stride;    // Dv rounded up to vectors
  float* q;            // blocks of [D, rows] interleaved
  float* s;            // [rows, kTileTokens] scores, then probabilities
  float* p;            // where the probabilities are read: s, or pairs of bf16
  float* factor;       // [rows] of this tile
  float* edge;         // [2][o_stride] pairs of which one token is not seen
  State state;         // of the split at work
  State total;         // of the splits before

  explicit Work(const GqaItem& gqa_item)
      : item(gqa_item), blocks(gqa_item.kv.blocks), first_block(gqa_item.kv.first_block) {
    rows = item.queries * item.heads;
    num_blocks = (rows + kTileRows - 1) / kTileRows;
    o_stride = RoundUpToLanes(item.value_dim);
    float* at = item.scratch;
    const auto take = [&at](int64_t numbers) {
      float* taken = at;
      at += numbers;
      return taken;
    };
    q = take(kItemRows * item.head_dim);
    s = take(kItemRows * kTileTokens);
    p = kHasBf16Dot && item.kv.type == ElementType::kBFloat16 ? take(kItemRows * kTileTokens / 2)
                                                              : s;
    factor = take(kItemRows);
    edge = take(2 * o_stride);
    state = {take(kItemRows * o_stride), take(kItemRows), take(kItemRows)};
    total = {take(kItemRows * o_stride), take(kItemRows), take(kItemRows)};
  }

  static int64_t ScratchNumbers(int64_t head_dim, int64_t value_dim) {
    const int64_t o_stride = RoundUpToLanes(value_dim);
    const int64_t row = head_dim + kTileTokens + kTileTokens / 2 + 1 + 2 * (o_stride + 2);
    return kItemRows * row + 2 * o_stride;
  }

  int64_t BlockRow(int64_t block) const { return rows * block / num_blocks; }

  // What query `i` of the item sees.
  Range Seen(int64_t i) const {
    const int64_t position = item.first_position + i;
    const PrefixArgs& prefix = item.prefix;
    if (in_prefix) return {0, prefix.shared ? prefix.tokens : Min64(prefix.tokens, position + 1)};
    const int64_t first = prefix.shared ? 0 : prefix.tokens;
    return {Max64(first, position - item.before), Min64(item.kv_len, position + item.after + 1)};
  }
  // What some query of the item sees.
  Range SeenByAny() const { return {Seen(0).begin, Seen(item.queries - 1).end}; }

  // What ALiBi takes from the key's number in the walk to get its distance from query `i`.
  int64_t DistanceOrigin(int64_t i) const {
    const int64_t position = item.first_position + i;
    if (!in_prefix) return position;
    const int64_t tokens = item.prefix.tokens;
    return item.prefix.shared ? position + tokens : Min64(position, tokens + item.before);
  }

  // The keys of the page that holds `position`; the values lie kv.values - kv.keys behind.
  const char* KeysAt(int64_t position) const {
    const int64_t page = blocks[position / item.kv.block_tokens - first_block];
    return item.kv.keys + page * item.kv.page_stride_bytes;
  }

  void Clear(const State& cleared) const {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t d = 0; d < o_stride; d += kLanes) Store(cleared.o + row * o_stride + d, Zero());
      cleared.m[row] = kMinusInfinity;
      cleared.l[row] = 0.0F;
    }
  }
};

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_GQA_WORK_H_
