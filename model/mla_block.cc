#include "model/mla_block.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "model/arena.h"

namespace quire {
namespace {

// Rows that take the absorbed form at a time: their latent queries are H R wide.
constexpr int64_t kGeneratedRows = 128;

// The down-projection's rows and, where each head has a rotated key, those behind the latent.
int64_t DownWidth(const MlaConfig& config) {
  return config.down_query_width() + config.shape.cache_dim();
}

}  // namespace

absl::StatusOr<MlaUpWeights> MakeMlaUpWeights(const MlaShape& shape, const WeightRows& rows,
                                              const std::string& name, DType act_dtype,
                                              WeightMaker& maker) {
  const int64_t rank = shape.latent_dim;
  const int64_t key_dim = shape.rope_per_head ? shape.head_dim() : shape.nope_dim;
  QUIRE_CHECK_EQ(rows.out_features, shape.num_heads * (key_dim + shape.value_dim));
  QUIRE_CHECK(rows.bias == nullptr) << name;
  const int64_t row_stride = rows.RowStride(rank);
  // Rows [begin, begin + count) of head `h`.
  const auto part = [&](int h, int64_t begin, int64_t count) {
    WeightRows taken = rows;
    const int64_t first = (h * (key_dim + shape.value_dim) + begin) * row_stride;
    taken.weight = static_cast<const char*>(rows.weight) +
                   first * static_cast<int64_t>(DTypeBytes(rows.weight_dtype));
    taken.out_features = count;
    taken.row_stride = row_stride;
    return taken;
  };
  const auto make = [&](const char* what, int64_t in_features, std::vector<WeightRows> parts) {
    return maker.MakeLinear({.name = absl::StrCat(name, what),
                             .in_features = in_features,
                             .parts = std::move(parts),
                             .act_dtype = act_dtype});
  };
  MlaUpWeights made;
  std::vector<WeightRows> merged;
  std::vector<WeightRows> rope;
  for (int h = 0; h < shape.num_heads; ++h) {
    const WeightRows key = part(h, key_dim - shape.nope_dim, shape.nope_dim);
    const WeightRows value = part(h, key_dim, shape.value_dim);
    merged.push_back(key);
    merged.push_back(value);
    if (shape.rope_per_head) rope.push_back(part(h, 0, shape.rope_dim));
    WeightRows transposed = key;
    transposed.out_features = rank;
    transposed.row_stride = key.col_stride;
    transposed.col_stride = key.row_stride;
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Linear> absorbed_key,
                           make(" (keys of a head)", shape.nope_dim, {transposed}));
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Linear> absorbed_value,
                           make(" (values of a head)", rank, {value}));
    made.key.push_back(std::move(absorbed_key));
    made.value.push_back(std::move(absorbed_value));
  }
  QUIRE_ASSIGN_OR_RETURN(made.merged, make("", rank, std::move(merged)));
  if (shape.rope_per_head) {
    QUIRE_ASSIGN_OR_RETURN(made.rope_key, make(" (rotated dims)", rank, std::move(rope)));
  }
  return made;
}

absl::StatusOr<std::unique_ptr<MlaBlock>> MlaBlock::Create(const MlaConfig& config, DType act_dtype,
                                                           int64_t max_rows, Ops& ops, Mla& mla,
                                                           DeviceMemory& memory) {
  QUIRE_CHECK(!config.latent_norm || !config.shape.rope_per_head)
      << "a head's rotated key comes from the latent as it is cached";
  std::unique_ptr<MlaBlock> block(new MlaBlock(config, max_rows, ops, mla));
  QUIRE_ASSIGN_OR_RETURN(
      block->buffer_, memory.Allocate(ActivationBytes(config, act_dtype, max_rows), "activations"));
  size_t bytes = 0;
  block->act_ = Lay(config, act_dtype, max_rows, block->buffer_.data(), bytes);
  return block;
}

size_t MlaBlock::ActivationBytes(const MlaConfig& config, DType act_dtype, int64_t max_rows) {
  size_t bytes = 0;
  Lay(config, act_dtype, max_rows, nullptr, bytes);
  return bytes;
}

MlaBlock::Activations MlaBlock::Lay(const MlaConfig& config, DType act_dtype, int64_t max_rows,
                                    void* base, size_t& bytes) {
  Arena arena(base);
  const MlaShape& shape = config.shape;
  const bool low_rank = config.query_rank > 0;
  // Norms read fp32; a product reads act, and so do queries that stay where they are.
  const bool products_read_down = !low_rank || shape.rope_per_head;
  const int64_t generated = std::min(max_rows, kGeneratedRows);
  Activations act;
  act.down =
      arena.Matrix(products_read_down ? act_dtype : DType::kFloat32, max_rows, DownWidth(config));
  if (low_rank) {
    act.query = arena.Matrix(act_dtype, max_rows, config.query_rank);
    act.q = arena.Matrix(act_dtype, max_rows, shape.q_width());
  }
  act.attended = arena.Matrix(act_dtype, max_rows, shape.out_width());
  act.q_latent = arena.Matrix(DType::kFloat32, generated, shape.latent_width());
  act.o_latent = arena.Matrix(act_dtype, generated, shape.latent_width());
  bytes = arena.bytes();
  return act;
}

void MlaBlock::Prepare(const MlaWeights& weights, DType delta_dtype) {
  const DType act = act_.attended.dtype;
  ops_.Prepare(*weights.down, act_.down.dtype);
  if (weights.up.rope_key != nullptr) ops_.Prepare(*weights.up.rope_key, act_.down.dtype);
  if (weights.query_up != nullptr) ops_.Prepare(*weights.query_up, act);
  ops_.Prepare(*weights.up.merged, act);
  ops_.Prepare(*weights.output, delta_dtype);
}

void MlaBlock::Forward(const MlaWeights& weights, const Batch& batch, const DeviceMatrix& normed,
                       const DeviceMatrix& delta) {
  const int64_t rows = normed.rows;
  QUIRE_CHECK_LE(rows, max_rows_);
  const MlaShape& shape = config_.shape;
  const DeviceMatrix down = act_.down.Rows(0, rows);
  const DeviceMatrix attended = act_.attended.Rows(0, rows);
  const DeviceMatrix q = Project(weights, normed, batch.num_generated_rows, down);
  mla_.NormRopeWrite({.latent = down.Columns(config_.down_query_width(), shape.cache_dim()),
                      .q = q,
                      .shape = shape,
                      .latent_norm = config_.latent_norm ? weights.latent_norm.data() : nullptr,
                      .norm_eps = config_.norm_eps,
                      .rope = batch.rope,
                      .kv = batch.kv},
                     batch.rows);
  for (int64_t row = 0; row < batch.num_generated_rows; row += kGeneratedRows) {
    AttendGenerated(weights, batch, q, row,
                    std::min(kGeneratedRows, batch.num_generated_rows - row));
  }
  if (batch.num_generated_rows < rows) {
    mla_.Prefill({.q = q,
                  .out = attended,
                  .first_row = batch.num_generated_rows,
                  .shape = shape,
                  .scale = config_.scale,
                  .kv = batch.kv},
                 batch.rows, [&](const DeviceMatrix& latent, const DeviceMatrix& expanded) {
                   for (int64_t row = 0; row < latent.rows; row += max_rows_) {
                     const int64_t some = std::min(max_rows_, latent.rows - row);
                     ops_.Apply(*weights.up.merged, latent.Rows(row, some),
                                expanded.Rows(row, some));
                   }
                 });
  }
  ops_.Apply(*weights.output, attended, delta, batch.num_generated_rows);
}

DeviceMatrix MlaBlock::Project(const MlaWeights& weights, const DeviceMatrix& normed,
                               int64_t num_generated, const DeviceMatrix& down) {
  const MlaShape& shape = config_.shape;
  const int64_t query_width = config_.down_query_width();
  ops_.Apply(*weights.down, normed, down.Columns(0, weights.down->out_features()), num_generated);
  if (shape.rope_per_head) {
    ops_.Apply(
        *weights.up.rope_key, down.Columns(query_width, shape.latent_dim),
        down.Columns(query_width + shape.latent_dim, int64_t{shape.num_heads} * shape.rope_dim),
        num_generated);
  }
  const DeviceMatrix queries = down.Columns(0, query_width);
  if (config_.query_rank == 0) return queries;
  const DeviceMatrix low_rank = act_.query.Rows(0, normed.rows);
  const DeviceMatrix q = act_.q.Rows(0, normed.rows);
  ops_.Normalise(queries, weights.query_norm, low_rank);
  ops_.Apply(*weights.query_up, low_rank, q, num_generated);
  return q;
}

// attended = W_UV softmax((W_UK^T q_n) c + q_r k_r) c for rows [first_row, first_row + rows).
void MlaBlock::AttendGenerated(const MlaWeights& weights, const Batch& batch, const DeviceMatrix& q,
                               int64_t first_row, int64_t rows) {
  const MlaShape& shape = config_.shape;
  const DeviceMatrix queries = q.Rows(first_row, rows);
  const DeviceMatrix attended = act_.attended.Rows(first_row, rows);
  const DeviceMatrix q_latent = act_.q_latent.Rows(0, rows);
  const DeviceMatrix o_latent = act_.o_latent.Rows(0, rows);
  for (int h = 0; h < shape.num_heads; ++h) {
    products_[h] = {
        weights.up.key[h].get(),
        queries.Columns(int64_t{h} * shape.head_dim() + shape.nope_begin(), shape.nope_dim),
        q_latent.Columns(int64_t{h} * shape.latent_dim, shape.latent_dim), rows};
  }
  ops_.ApplyGroup(products_);
  mla_.Absorbed({.q_latent = q_latent,
                 .q = queries,
                 .out = o_latent,
                 .first_row = first_row,
                 .shape = shape,
                 .scale = config_.scale,
                 .kv = batch.kv},
                batch.rows);
  for (int h = 0; h < shape.num_heads; ++h) {
    products_[h] = {weights.up.value[h].get(),
                    o_latent.Columns(int64_t{h} * shape.latent_dim, shape.latent_dim),
                    attended.Columns(int64_t{h} * shape.value_dim, shape.value_dim), rows};
  }
  ops_.ApplyGroup(products_);
}

}  // namespace quire
