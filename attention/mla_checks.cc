#include "attention/mla_checks.h"

#include "attention/attention_checks.h"
#include "core/check.h"

namespace quire {
namespace {

void CheckCache(const MlaShape& shape, const PagedKvView& kv) {
  CheckMlaShape(shape);
  QUIRE_CHECK_EQ(kv.layout.num_kv_heads, 1);
  QUIRE_CHECK_EQ(kv.layout.head_dim, shape.cache_dim());
  QUIRE_CHECK_EQ(kv.layout.value_dim, 0);
  QUIRE_CHECK(kv.layout.dtype != DType::kFloat16);
  QUIRE_CHECK_GT(kv.layout.block_tokens, 0);
  QUIRE_CHECK_GE(kv.page_stride_bytes, static_cast<int64_t>(kv.layout.page_bytes()));
}

void CheckMatrix(const DeviceMatrix& matrix, int64_t rows, int64_t cols) {
  QUIRE_CHECK(matrix.dtype != DType::kFloat16);
  QUIRE_CHECK_EQ(matrix.rows, rows);
  QUIRE_CHECK_EQ(matrix.cols, cols);
  if (rows > 1) QUIRE_CHECK_GE(matrix.row_stride, cols);
}

void CheckBatchShapes(const AttentionBatch& batch) {
  const int64_t entries = batch.kv_len.size;
  QUIRE_CHECK_EQ(batch.query_start.size, entries + 1);
  QUIRE_CHECK_EQ(batch.table_start.size, entries + 1);
  QUIRE_CHECK_EQ(batch.first_block.size, entries);
}

void CheckBatch(const AttentionBatch& batch) {
  const int64_t entries = batch.kv_len.size;
  for (int64_t e = 0; e < entries; ++e) {
    QUIRE_CHECK_EQ(batch.first_block.data[e], 0) << "entry " << e;
    QUIRE_CHECK_GE(batch.kv_len.data[e], batch.query_start.data[e + 1] - batch.query_start.data[e])
        << "entry " << e;
  }
}

}  // namespace

void CheckMlaShape(const MlaShape& shape) {
  QUIRE_CHECK_GT(shape.num_heads, 0);
  for (int dim : {shape.latent_dim, shape.nope_dim, shape.rope_dim, shape.value_dim}) {
    QUIRE_CHECK_GT(dim, 0);
    QUIRE_CHECK_EQ(dim % 2, 0);
  }
}

void CheckMlaNormRopeWriteShapes(const MlaNormRopeWriteParams& params,
                                 const AttentionBatch& batch) {
  CheckCache(params.shape, params.kv);
  const int64_t rows = params.q.rows;
  CheckMatrix(params.latent, rows, params.shape.cache_dim());
  CheckMatrix(params.q, rows, params.shape.q_width());
  QUIRE_CHECK_EQ(params.rope.rotary_dim, params.shape.rope_dim);
  QUIRE_CHECK_EQ(batch.rope_rows.size, rows);
  QUIRE_CHECK_EQ(batch.slots.size, rows);
}

void CheckMlaNormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) {
  CheckMlaNormRopeWriteShapes(params, batch);
  CheckRopeRows(params.rope, batch.rope_rows, params.q.rows);
  CheckSlots(params.kv, batch.slots, params.q.rows);
}

void CheckMlaAbsorbedShapes(const MlaAbsorbedParams& params, const AttentionBatch& batch) {
  CheckCache(params.shape, params.kv);
  CheckBatchShapes(batch);
  const int64_t rows = params.q_latent.rows;
  QUIRE_CHECK_GE(params.first_row, 0);
  CheckMatrix(params.q_latent, rows, params.shape.latent_width());
  CheckMatrix(params.q, rows, params.shape.q_width());
  CheckMatrix(params.out, rows, params.shape.latent_width());
}

void CheckMlaAbsorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) {
  CheckMlaAbsorbedShapes(params, batch);
  CheckBatch(batch);
  QUIRE_CHECK_LE(params.first_row + params.q_latent.rows,
                 int64_t{batch.query_start.data[batch.kv_len.size]});
}

void CheckMlaPrefillShapes(const MlaPrefillParams& params, const AttentionBatch& batch) {
  CheckCache(params.shape, params.kv);
  CheckBatchShapes(batch);
  CheckMatrix(params.q, params.q.rows, params.shape.q_width());
  CheckMatrix(params.out, params.q.rows, params.shape.out_width());
  QUIRE_CHECK(params.q.dtype == params.kv.layout.dtype);
  QUIRE_CHECK(params.out.dtype == params.kv.layout.dtype);
}

void CheckMlaPrefill(const MlaPrefillParams& params, const AttentionBatch& batch) {
  CheckMlaPrefillShapes(params, batch);
  CheckBatch(batch);
  QUIRE_CHECK_EQ(params.q.rows, int64_t{batch.query_start.data[batch.kv_len.size]});
}

int64_t MlaEntryOfRow(const AttentionBatch& batch, int64_t row) {
  int64_t entry = 0;
  while (entry < batch.kv_len.size && batch.query_start.data[entry] < row) ++entry;
  QUIRE_CHECK_EQ(batch.query_start.data[entry], row);
  return entry;
}

}  // namespace quire
