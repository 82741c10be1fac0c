#include "engine/cuda/device_placement.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr size_t kAlignment = 16;

size_t Padded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <typename T>
size_t PaddedArray(int64_t count) {
  return Padded(static_cast<size_t>(count) * sizeof(T));
}

}  // namespace

size_t DevicePlacement::Bytes(const BatchLimits& limits) {
  const size_t row_numbers = PaddedArray<int32_t>(limits.rows);
  const size_t entry_numbers = PaddedArray<int32_t>(limits.entries + 1);
  // Token ids, learned positions, positions and two kinds of rotation rows; where entries begin and
  // end, with a cache and without.
  size_t bytes = 6 * row_numbers + 3 * entry_numbers;
  for (size_t group = 0; group < limits.table_blocks.size(); ++group) {
    bytes += PaddedArray<int64_t>(limits.rows);  // slots
    bytes += 3 * entry_numbers;                  // of tables and prefixes
    bytes += PaddedArray<int32_t>(limits.table_blocks[group]);
    bytes += PaddedArray<int32_t>(limits.prefix_blocks[group]);
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<DevicePlacement>> DevicePlacement::Create(const BatchLimits& limits,
                                                                         DeviceQueue& queue,
                                                                         DeviceMemory& memory) {
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer arrays, memory.Allocate(Bytes(limits), "activations"));
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer rows,
                         memory.Allocate(limits.rows * sizeof(int32_t), "activations"));
  return std::unique_ptr<DevicePlacement>(
      new DevicePlacement(queue, std::move(arrays), std::move(rows)));
}

template <typename T>
DeviceArray<const T> DevicePlacement::Pack(DeviceArray<const T> array) {
  if (array.size == 0) return {};
  const size_t bytes = static_cast<size_t>(array.size) * sizeof(T);
  const auto at = [&](size_t offset) {
    const char* const place = static_cast<const char*>(arrays_.data()) + offset;
    return DeviceArray<const T>{reinterpret_cast<const T*>(place), array.size};
  };
  for (const Packed& packed : packed_) {
    if (packed.host == array.data && packed.bytes == bytes) return at(packed.offset);
  }
  const size_t offset = used_;
  QUIRE_CHECK_LE(offset + Padded(bytes), staging_.size());
  std::memcpy(staging_.data() + offset, array.data, bytes);
  packed_.push_back({array.data, offset, bytes});
  used_ += Padded(bytes);
  return at(offset);
}

const ModelBatch& DevicePlacement::Place(const ModelBatch& batch) {
  packed_.clear();
  used_ = 0;
  batch_.num_rows = batch.num_rows;
  batch_.num_generated_rows = batch.num_generated_rows;
  batch_.token_ids = Pack(batch.token_ids);
  batch_.position_rows = Pack(batch.position_rows);
  batch_.query_start = Pack(batch.query_start);
  batch_.rope_rows = Pack(batch.rope_rows);
  batch_.rope_spans = batch.rope_spans;
  batch_.copies = batch.copies;
  batch_.groups.resize(batch.groups.size());
  for (size_t group = 0; group < batch.groups.size(); ++group) {
    const AttentionBatch& host = batch.groups[group];
    batch_.groups[group] = {.query_start = Pack(host.query_start),
                            .kv_len = Pack(host.kv_len),
                            .positions = Pack(host.positions),
                            .rope_rows = Pack(host.rope_rows),
                            .slots = Pack(host.slots),
                            .table_start = Pack(host.table_start),
                            .first_block = Pack(host.first_block),
                            .blocks = Pack(host.blocks),
                            .prefix_start = Pack(host.prefix_start),
                            .prefix_blocks = Pack(host.prefix_blocks),
                            .rope_rows2 = Pack(host.rope_rows2),
                            .on_host = &host};
  }
  queue_.CopyToDevice(arrays_.data(), staging_.data(), used_);
  return batch_;
}

DeviceArray<const int32_t> DevicePlacement::PlaceRows(absl::Span<const int32_t> rows) {
  QUIRE_CHECK_LE(rows.size(), staged_rows_.size());
  std::copy(rows.begin(), rows.end(), staged_rows_.begin());
  queue_.CopyToDevice(rows_.data(), staged_rows_.data(), rows.size() * sizeof(int32_t));
  return {static_cast<const int32_t*>(rows_.data()), static_cast<int64_t>(rows.size())};
}

}  // namespace quire
