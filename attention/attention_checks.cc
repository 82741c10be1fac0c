#include "attention/attention_checks.h"

#include <algorithm>

#include "core/ceil_div.h"
#include "core/check.h"

namespace quire {
namespace {

void CheckShape(const GqaShape& shape) {
  QUIRE_CHECK_GT(shape.num_kv_heads, 0);
  QUIRE_CHECK_GT(shape.num_heads, 0);
  QUIRE_CHECK_EQ(shape.num_heads % shape.num_kv_heads, 0);
  QUIRE_CHECK_GT(shape.head_dim, 0);
  QUIRE_CHECK_EQ(shape.head_dim % 2, 0);
  QUIRE_CHECK_GT(shape.value_dim, 0);
  QUIRE_CHECK_EQ(shape.value_dim % 2, 0);
  QUIRE_CHECK_GE(shape.window, 0);
}

void CheckKv(const GqaShape& shape, const PagedKvView& kv) {
  QUIRE_CHECK_EQ(kv.layout.num_kv_heads, shape.num_kv_heads);
  QUIRE_CHECK_EQ(kv.layout.head_dim, shape.head_dim);
  QUIRE_CHECK_EQ(kv.layout.value_dim, shape.value_dim);
  QUIRE_CHECK(kv.layout.dtype != DType::kFloat16);
  QUIRE_CHECK_GT(kv.layout.block_tokens, 0);
  QUIRE_CHECK_GE(kv.page_stride_bytes, static_cast<int64_t>(kv.layout.page_bytes()));
}

void CheckQkv(const DeviceMatrix& qkv, const GqaShape& shape) {
  QUIRE_CHECK(qkv.dtype != DType::kFloat16);
  QUIRE_CHECK_EQ(qkv.cols, shape.qkv_width());
  if (qkv.rows > 1) QUIRE_CHECK_GE(qkv.row_stride, qkv.cols);
}

// A matrix of results or of further queries beside `qkv`.
void CheckBeside(const DeviceMatrix& m, const DeviceMatrix& qkv, int64_t cols) {
  QUIRE_CHECK(m.dtype == qkv.dtype);
  QUIRE_CHECK_EQ(m.rows, qkv.rows);
  QUIRE_CHECK_EQ(m.cols, cols);
  if (m.rows > 1) QUIRE_CHECK_GE(m.row_stride, m.cols);
}

void CheckOptionalQ2(const DeviceMatrix& q2, const DeviceMatrix& qkv, const GqaShape& shape) {
  if (q2.data != nullptr) CheckBeside(q2, qkv, int64_t{shape.num_heads} * shape.head_dim);
}

// The extremes are found first: such a loop vectorises, a CHECK per row would not.
struct Extremes {
  int64_t least = 0;
  int64_t most = -1;
};

template <typename T>
Extremes FindExtremes(DeviceArray<const T> numbers) {
  T least = 0;
  T most = -1;
  for (int64_t i = 0; i < numbers.size; ++i) {
    least = std::min(least, numbers.data[i]);
    most = std::max(most, numbers.data[i]);
  }
  return {int64_t{least}, int64_t{most}};
}

void CheckRules(const ScoreRules& rules, int64_t most_keys) {
  QUIRE_CHECK_GE(rules.softcap, 0.0F);
  if (rules.bias.data == nullptr) return;
  QUIRE_CHECK_GE(rules.bias.head_stride, 0);
  QUIRE_CHECK_GE(rules.bias.row_stride, most_keys);
}

void CheckPrefix(const GqaParams& params, const AttentionBatch& batch) {
  const KvPrefix& prefix = params.prefix;
  QUIRE_CHECK_GE(prefix.tokens, 0);
  if (prefix.tokens == 0) return;
  CheckOptionalQ2(prefix.q2, params.qkv, params.shape);
  QUIRE_CHECK(params.scores.bias.data == nullptr) << "a bias has no columns for a prefix";
  if (prefix.shared) {
    QUIRE_CHECK_GE(prefix.blocks.size * params.kv.layout.block_tokens, int64_t{prefix.tokens});
    return;
  }
  QUIRE_CHECK_GT(params.shape.window, 0) << "without a window there is nothing to keep";
  QUIRE_CHECK_EQ(batch.prefix_start.size, batch.kv_len.size + 1);
}

void CheckPrefixPages(const GqaParams& params, const AttentionBatch& batch) {
  const KvPrefix& prefix = params.prefix;
  if (prefix.tokens == 0 || prefix.shared) return;
  for (int64_t e = 0; e < batch.kv_len.size; ++e) {
    const int32_t pages = batch.prefix_start.data[e + 1] - batch.prefix_start.data[e];
    const int32_t tokens = std::min(prefix.tokens, batch.kv_len.data[e]);
    QUIRE_CHECK_GE(pages, CeilDiv(tokens, params.kv.layout.block_tokens)) << "entry " << e;
  }
}

// Starts of `entries` runs of rows.
void CheckQueryStart(DeviceArray<const int32_t> query_start, int64_t rows) {
  QUIRE_CHECK_GE(query_start.size, 1);
  QUIRE_CHECK_EQ(query_start.data[0], 0);
  QUIRE_CHECK_EQ(query_start.data[query_start.size - 1], rows);
}

}  // namespace

void CheckRopeRows(const RopeTable& rope, DeviceArray<const int32_t> rows, int64_t tokens) {
  QUIRE_CHECK_EQ(rows.size, tokens);
  const auto [first_rope_row, last_rope_row] = FindExtremes(rows);
  QUIRE_CHECK_GE(first_rope_row, 0);
  if (rope.rotary_dim > 0) QUIRE_CHECK_LT(last_rope_row, rope.num_rows);
}

void CheckSlots(const PagedKvView& kv, DeviceArray<const int64_t> slots, int64_t tokens) {
  QUIRE_CHECK_EQ(slots.size, tokens);
  const auto [first_slot, last_slot] = FindExtremes(slots);
  QUIRE_CHECK_GE(first_slot, 0);
  QUIRE_CHECK_LT(last_slot, kv.num_blocks * kv.layout.block_tokens);
}

void CheckNormRopeShapes(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) {
  CheckShape(params.shape);
  CheckQkv(params.qkv, params.shape);
  QUIRE_CHECK_EQ(params.rope.rotary_dim % 2, 0);
  QUIRE_CHECK_LE(params.rope.rotary_dim, params.shape.head_dim);
  QUIRE_CHECK_EQ(rope_rows.size, params.qkv.rows);
}

void CheckNormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) {
  CheckNormRopeShapes(params, rope_rows);
  CheckRopeRows(params.rope, rope_rows, params.qkv.rows);
}

void CheckNormRopeWriteShapes(const NormRopeWriteParams& params, const AttentionBatch& batch) {
  CheckNormRopeShapes(params, batch.rope_rows);
  CheckKv(params.shape, params.kv);
  QUIRE_CHECK_EQ(batch.slots.size, params.qkv.rows);
  CheckOptionalQ2(params.q2, params.qkv, params.shape);
  if (params.q2.data != nullptr) QUIRE_CHECK_EQ(batch.rope_rows2.size, params.qkv.rows);
}

void CheckNormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) {
  CheckNormRopeWriteShapes(params, batch);
  CheckRopeRows(params.rope, batch.rope_rows, params.qkv.rows);
  CheckSlots(params.kv, batch.slots, params.qkv.rows);
  if (params.q2.data != nullptr) CheckRopeRows(params.rope, batch.rope_rows2, params.qkv.rows);
}

void CheckGqaShapes(const GqaParams& params, const AttentionBatch& batch) {
  CheckShape(params.shape);
  CheckKv(params.shape, params.kv);
  CheckQkv(params.qkv, params.shape);
  CheckBeside(params.out, params.qkv, params.shape.out_width());
  const int64_t entries = batch.kv_len.size;
  QUIRE_CHECK_EQ(batch.query_start.size, entries + 1);
  QUIRE_CHECK_EQ(batch.table_start.size, entries + 1);
  QUIRE_CHECK_EQ(batch.first_block.size, entries);
  QUIRE_CHECK_GE(params.num_generated, 0);
  QUIRE_CHECK_LE(params.num_generated, params.qkv.rows);
  CheckPrefix(params, batch);
}

void CheckGqa(const GqaParams& params, const AttentionBatch& batch) {
  CheckGqaShapes(params, batch);
  CheckQueryStart(batch.query_start, params.qkv.rows);
  CheckRules(params.scores, FindExtremes(batch.kv_len).most);
  CheckPrefixPages(params, batch);
}

void CheckEncodeShapes(const EncoderParams& params, DeviceArray<const int32_t> query_start) {
  CheckShape(params.shape);
  CheckQkv(params.qkv, params.shape);
  CheckBeside(params.out, params.qkv, params.shape.out_width());
  QUIRE_CHECK_GE(query_start.size, 1);
}

void CheckEncode(const EncoderParams& params, DeviceArray<const int32_t> query_start) {
  CheckEncodeShapes(params, query_start);
  CheckQueryStart(query_start, params.qkv.rows);
  int64_t most_keys = 0;
  for (int64_t s = 0; s + 1 < query_start.size; ++s) {
    QUIRE_CHECK_LE(query_start.data[s], query_start.data[s + 1]);
    most_keys = std::max<int64_t>(most_keys, query_start.data[s + 1] - query_start.data[s]);
  }
  CheckRules(params.scores, most_keys);
}

}  // namespace quire
