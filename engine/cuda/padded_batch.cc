#include "engine/cuda/padded_batch.h"

#include "core/check.h"

namespace quire {
namespace {

template <typename T>
void Fill(DeviceArray<const T> from, int64_t size, T value, std::vector<T>& to) {
  to.assign(from.data, from.data + from.size);
  to.resize(size, value);
}

// Starts of entries: those of padding hold `step` each.
void FillStarts(DeviceArray<const int32_t> from, int64_t size, int32_t step,
                std::vector<int32_t>& to) {
  to.assign(from.data, from.data + from.size);
  if (to.empty()) to.push_back(0);
  while (static_cast<int64_t>(to.size()) < size) to.push_back(to.back() + step);
}

template <typename T>
DeviceArray<const T> View(const std::vector<T>& values) {
  return {.data = values.data(), .size = static_cast<int64_t>(values.size())};
}

}  // namespace

PaddedBatch::PaddedBatch(const BatchLimits& limits)
    : limits_(limits), groups_(limits.groups.size()) {
  padded_.groups.resize(groups_.size());
}

void PaddedBatch::PadGroup(const AttentionBatch& batch, const BatchLimits::Group& limits,
                           int64_t rows, Group& group) const {
  const int64_t slot = int64_t{limits.padding_block} * limits_.block_tokens;
  const int32_t prefix_blocks = limits.prefix_blocks > 0 ? 1 : 0;
  Fill(batch.slots, rows, slot, group.slots);
  FillStarts(batch.table_start, rows + 1, 1, group.table_start);
  Fill(batch.first_block, rows, 0, group.first_block);
  Fill(batch.blocks, group.table_start.back(), limits.padding_block, group.blocks);
  FillStarts(batch.prefix_start, rows + 1, prefix_blocks, group.prefix_start);
  Fill(batch.prefix_blocks, group.prefix_start.back(), limits.padding_block, group.prefix_blocks);
}

const ModelBatch& PaddedBatch::Pad(const ModelBatch& batch, int64_t rows) {
  QUIRE_CHECK_LE(batch.num_rows, rows);
  QUIRE_CHECK_EQ(batch.num_rows, batch.num_generated_rows);
  Fill(batch.token_ids, rows, 0, token_ids_);
  Fill(batch.position_rows, rows, 0, position_rows_);
  Fill(batch.rope_rows, rows, 0, rope_rows_);
  FillStarts(batch.query_start, rows + 1, 1, query_start_);
  padded_.copies = batch.copies;
  padded_.rope_spans = batch.rope_spans;
  padded_.num_rows = rows;
  padded_.num_generated_rows = rows;
  padded_.token_ids = View(token_ids_);
  padded_.position_rows = View(position_rows_);
  padded_.rope_rows = View(rope_rows_);
  padded_.query_start = View(query_start_);
  for (size_t i = 0; i < groups_.size(); ++i) {
    const AttentionBatch from = i < batch.groups.size() ? batch.groups[i] : AttentionBatch();
    if (i == 0) {  // the same for all groups
      Fill(from.positions, rows, 0, positions_);
      Fill(from.kv_len, rows, 1, kv_len_);
      Fill(from.rope_rows2, rows, 0, rope_rows2_);
    }
    PadGroup(from, limits_.groups[i], rows, groups_[i]);
    padded_.groups[i] = {.query_start = View(query_start_),
                         .kv_len = View(kv_len_),
                         .positions = View(positions_),
                         .rope_rows = View(rope_rows_),
                         .slots = View(groups_[i].slots),
                         .table_start = View(groups_[i].table_start),
                         .first_block = View(groups_[i].first_block),
                         .blocks = View(groups_[i].blocks),
                         .prefix_start = View(groups_[i].prefix_start),
                         .prefix_blocks = View(groups_[i].prefix_blocks),
                         .rope_rows2 = View(rope_rows2_)};
  }
  return padded_;
}

}  // namespace quire
