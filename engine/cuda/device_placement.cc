#include "engine/cuda/device_placement.h"

#include <algorithm>
#include <cstring>
#include <numeric>

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

DeviceArray<const int32_t> View(absl::Span<const int32_t> values) {
  return {values.data(), static_cast<int64_t>(values.size())};
}

}  // namespace

size_t DevicePlacement::Bytes(const BatchLimits& limits) {
  const size_t row_numbers = PaddedArray<int32_t>(limits.rows);
  const size_t entry_numbers = PaddedArray<int32_t>(limits.entries + 1);
  // Token ids and their sources, learned positions, positions, two kinds of rotation rows, rows of
  // logits and of scores; where entries begin and end.
  size_t bytes = 8 * row_numbers + 3 * entry_numbers;
  for (const BatchLimits::Group& group : limits.groups) {
    bytes += PaddedArray<int64_t>(limits.rows);  // slots
    bytes += 3 * entry_numbers;                  // of tables and prefixes
    bytes += PaddedArray<int32_t>(group.table_blocks);
    bytes += PaddedArray<int32_t>(limits.entries * group.prefix_blocks);
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<DevicePlacement>> DevicePlacement::Create(const BatchLimits& limits,
                                                                         int slots,
                                                                         DeviceQueue& queue,
                                                                         DeviceMemory& memory) {
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer arrays, memory.Allocate(Bytes(limits), "workspace"));
  std::vector<DeviceBuffer> staging(slots);
  for (DeviceBuffer& buffer : staging) {
    QUIRE_ASSIGN_OR_RETURN(buffer, queue.MakeStaging(Bytes(limits)));
  }
  return std::unique_ptr<DevicePlacement>(
      new DevicePlacement(limits, queue, std::move(arrays), std::move(staging)));
}

DevicePlacement::DevicePlacement(const BatchLimits& limits, DeviceQueue& queue, DeviceBuffer arrays,
                                 std::vector<DeviceBuffer> staging)
    : limits_(limits),
      queue_(queue),
      arrays_(std::move(arrays)),
      staging_(std::move(staging)),
      group_order_(limits.groups.size()) {
  std::iota(group_order_.begin(), group_order_.end(), size_t{0});
  std::stable_sort(group_order_.begin(), group_order_.end(), [&](size_t a, size_t b) {
    return limits_.groups[a].decode_blocks < limits_.groups[b].decode_blocks;
  });
  room_.table_blocks.resize(limits.groups.size());
  room_.prefix_blocks.resize(limits.groups.size());
}

template <typename T>
DeviceArray<const T> DevicePlacement::Pack(DeviceArray<const T> array, int64_t room) {
  QUIRE_CHECK_LE(array.size, room);
  if (room == 0) return {};
  const size_t bytes = static_cast<size_t>(array.size) * sizeof(T);
  const auto at = [&](size_t offset) {
    const char* const place = static_cast<const char*>(arrays_.data()) + offset;
    return DeviceArray<const T>{reinterpret_cast<const T*>(place), array.size};
  };
  for (const Packed& packed : packed_) {
    if (bytes > 0 && packed.host == array.data && packed.bytes == bytes) return at(packed.offset);
  }
  const size_t offset = used_;
  used_ += PaddedArray<T>(room);
  QUIRE_CHECK_LE(used_, arrays_.bytes());
  if (bytes > 0) {
    std::memcpy(host_ + offset, array.data, bytes);
    packed_.push_back({array.data, offset, bytes});
    filled_ = offset + bytes;
  }
  return at(offset);
}

const PlacedBatch& DevicePlacement::Place(int slot, const HostArrays& batch) {
  room_.rows = batch.model.num_rows;
  room_.entries = batch.model.query_start.size - 1;
  room_.token_sources = static_cast<int64_t>(batch.token_sources.size());
  room_.logits_rows = static_cast<int64_t>(batch.logits_rows.size());
  room_.scored_rows = static_cast<int64_t>(batch.scored_rows.size());
  for (size_t group = 0; group < batch.model.groups.size(); ++group) {
    room_.table_blocks[group] = batch.model.groups[group].blocks.size;
    room_.prefix_blocks[group] = batch.model.groups[group].prefix_blocks.size;
  }
  return Place(slot, batch, room_);
}

const PlacedBatch& DevicePlacement::PlaceDecode(int slot, const HostArrays& batch, int64_t rows) {
  QUIRE_CHECK_EQ(batch.model.num_rows, rows);
  QUIRE_CHECK_EQ(batch.model.query_start.size - 1, rows);
  room_.rows = room_.entries = room_.token_sources = room_.logits_rows = rows;
  room_.scored_rows = 0;
  for (size_t group = 0; group < limits_.groups.size(); ++group) {
    room_.table_blocks[group] = rows * limits_.groups[group].decode_blocks;
    room_.prefix_blocks[group] = rows * limits_.groups[group].prefix_blocks;
  }
  return Place(slot, batch, room_);
}

const PlacedBatch& DevicePlacement::Place(int slot, const HostArrays& batch, const Room& room) {
  host_ = static_cast<char*>(staging_[slot].data());
  packed_.clear();
  used_ = 0;
  filled_ = 0;
  const ModelBatch& host = batch.model;
  ModelBatch& model = placed_.model;
  model.num_rows = host.num_rows;
  model.num_generated_rows = host.num_generated_rows;
  model.token_ids = Pack(host.token_ids, room.rows);
  model.position_rows = Pack(host.position_rows, room.rows);
  model.query_start = Pack(host.query_start, room.entries + 1);
  model.rope_rows = Pack(host.rope_rows, room.rows);
  model.rope_spans = host.rope_spans;
  model.copies = host.copies;
  placed_.token_ids = const_cast<int32_t*>(model.token_ids.data);
  placed_.token_sources = Pack(View(batch.token_sources), room.token_sources);
  placed_.logits_rows = Pack(View(batch.logits_rows), room.logits_rows);
  placed_.scored_rows = Pack(View(batch.scored_rows), room.scored_rows);
  PlaceGroups(batch, room);
  queue_.CopyToDevice(arrays_.data(), host_, filled_);
  return placed_;
}

void DevicePlacement::PlaceGroups(const HostArrays& batch, const Room& room) {
  const auto of_rows = [&](auto array) { return Pack(array, array.size == 0 ? 0 : room.rows); };
  const auto of_entries = [&](auto array) {
    return Pack(array, array.size == 0 ? 0 : room.entries + 1);
  };
  placed_.model.groups.resize(batch.model.groups.size());
  for (size_t group = 0; group < batch.model.groups.size(); ++group) {
    const AttentionBatch& host = batch.model.groups[group];
    placed_.model.groups[group] = {.query_start = of_entries(host.query_start),
                                   .kv_len = of_entries(host.kv_len),
                                   .positions = of_rows(host.positions),
                                   .rope_rows = of_rows(host.rope_rows),
                                   .slots = of_rows(host.slots),
                                   .table_start = of_entries(host.table_start),
                                   .first_block = of_entries(host.first_block),
                                   .prefix_start = of_entries(host.prefix_start),
                                   .rope_rows2 = of_rows(host.rope_rows2),
                                   .on_host = &host};
  }
  for (const size_t group : group_order_) {
    if (group >= batch.model.groups.size()) continue;
    const AttentionBatch& host = batch.model.groups[group];
    AttentionBatch& placed = placed_.model.groups[group];
    placed.prefix_blocks = Pack(host.prefix_blocks, room.prefix_blocks[group]);
    placed.blocks = Pack(host.blocks, room.table_blocks[group]);
  }
}

}  // namespace quire
