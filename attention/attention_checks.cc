#include "attention/attention_checks.h"

#include <algorithm>

#include "core/check.h"

namespace quire {
namespace {

void CheckShape(const GqaShape& shape, const PagedKvView& kv) {
  QUIRE_CHECK_GT(shape.num_kv_heads, 0);
  QUIRE_CHECK_GT(shape.num_heads, 0);
  QUIRE_CHECK_EQ(shape.num_heads % shape.num_kv_heads, 0);
  QUIRE_CHECK_GT(shape.head_dim, 0);
  QUIRE_CHECK_EQ(shape.head_dim % 2, 0);
  QUIRE_CHECK_EQ(shape.value_dim, shape.head_dim);
  QUIRE_CHECK_GE(shape.window, 0);
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

// A wrong row reads behind the rotation tables, a wrong slot writes outside the cache. The
// extremes are found first: such loops vectorise, a CHECK per row would not.
void CheckRows(const NormRopeWriteParams& params, const AttentionBatch& batch) {
  int32_t first_rope_row = 0;
  int32_t last_rope_row = -1;
  int64_t first_slot = 0;
  int64_t last_slot = -1;
  for (int64_t row = 0; row < batch.rope_rows.size; ++row) {
    first_rope_row = std::min(first_rope_row, batch.rope_rows.data[row]);
    last_rope_row = std::max(last_rope_row, batch.rope_rows.data[row]);
  }
  for (int64_t row = 0; row < batch.slots.size; ++row) {
    first_slot = std::min(first_slot, batch.slots.data[row]);
    last_slot = std::max(last_slot, batch.slots.data[row]);
  }
  QUIRE_CHECK_GE(first_rope_row, 0);
  QUIRE_CHECK_GE(first_slot, 0);
  QUIRE_CHECK_LT(last_slot, params.kv.num_blocks * params.kv.layout.block_tokens);
  if (params.rope.rotary_dim > 0) QUIRE_CHECK_LT(last_rope_row, params.rope.num_rows);
}

}  // namespace

void CheckNormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) {
  CheckShape(params.shape, params.kv);
  CheckQkv(params.qkv, params.shape);
  QUIRE_CHECK_EQ(batch.rope_rows.size, params.qkv.rows);
  QUIRE_CHECK_EQ(batch.slots.size, params.qkv.rows);
  QUIRE_CHECK_EQ(params.rope.rotary_dim % 2, 0);
  QUIRE_CHECK_LE(params.rope.rotary_dim, params.shape.head_dim);
  CheckRows(params, batch);
}

void CheckGqa(const GqaParams& params, const AttentionBatch& batch) {
  CheckShape(params.shape, params.kv);
  CheckQkv(params.qkv, params.shape);
  QUIRE_CHECK(params.out.dtype == params.qkv.dtype);
  QUIRE_CHECK_EQ(params.out.rows, params.qkv.rows);
  QUIRE_CHECK_EQ(params.out.cols, params.shape.out_width());
  if (params.out.rows > 1) QUIRE_CHECK_GE(params.out.row_stride, params.out.cols);
  const int64_t entries = batch.kv_len.size;
  QUIRE_CHECK_EQ(batch.query_start.size, entries + 1);
  QUIRE_CHECK_EQ(batch.table_start.size, entries + 1);
  QUIRE_CHECK_EQ(batch.first_block.size, entries);
  QUIRE_CHECK_EQ(batch.query_start.data[entries], params.qkv.rows);
}

}  // namespace quire
