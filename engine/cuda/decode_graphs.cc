#include "engine/cuda/decode_graphs.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "core/steady_time.h"

namespace quire {

// Steps that grow with the number: at most every second row of few, and every tenth of many, is
// padding.
std::vector<int64_t> DecodeGraphRows(int64_t max_rows) {
  std::vector<int64_t> rows;
  for (int64_t count = 1; count < max_rows;) {
    rows.push_back(count);
    count += count < 8 ? count : count < 64 ? 8 : count < 256 ? 16 : 32;
  }
  if (max_rows > 0) rows.push_back(max_rows);
  return rows;
}

absl::StatusOr<std::unique_ptr<DecodeGraphs>> DecodeGraphs::Record(
    const DecodeGraphOptions& options, const BatchLimits& limits, Decoder& decoder,
    DevicePlacement& placement, DeviceQueue& queue) {
  std::unique_ptr<DecodeGraphs> graphs(new DecodeGraphs(limits, queue));
  if (limits.groups.empty()) return graphs;  // encoders generate nothing
  const absl::Time start = SteadyNow();
  const size_t free_before = options.free_bytes ? options.free_bytes() : 0;
  const int64_t most = std::min({options.max_rows, limits.max_sequences, limits.rows});
  for (const int64_t rows : DecodeGraphRows(most)) {
    if (graphs->time_ >= options.max_time || graphs->bytes_ >= options.max_bytes) break;
    const absl::Status status = graphs->RecordOne(rows, decoder, placement);
    if (absl::IsResourceExhausted(status)) break;
    QUIRE_RETURN_IF_ERROR(status);
    graphs->time_ = SteadyNow() - start;
    const size_t free_now = options.free_bytes ? options.free_bytes() : 0;
    graphs->bytes_ = free_before > free_now ? free_before - free_now : 0;
  }
  return graphs;
}

// What sequences have at most, all together twice the pools' tokens: they may share pages.
KvExtent DecodeGraphs::ExtentOf(int64_t rows) const {
  KvExtent extent{.longest = limits_.context, .keys = rows * limits_.context};
  for (const BatchLimits::Group& group : limits_.groups) {
    if (!group.has_window) extent.keys = std::min(extent.keys, 2 * group.pool_tokens + rows);
  }
  return extent;
}

absl::Status DecodeGraphs::RecordOne(int64_t rows, Decoder& decoder, DevicePlacement& placement) {
  const KvExtent extent = ExtentOf(rows);
  ModelBatch batch = padding_.Pad(ModelBatch(), rows);
  for (AttentionBatch& group : batch.groups) group.at_most = extent;
  const PlacedBatch& placed = placement.PlaceDecode(
      0, {.model = batch, .token_sources = {}, .logits_rows = {}, .scored_rows = {}}, rows);
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<DeviceGraph> work,
                         queue_.Record([&] { decoder.Compute(placed.model); }));
  queue_.Wait();  // for the copy of the arrays
  graphs_.push_back({rows, extent, std::move(work)});
  return absl::OkStatus();
}

int64_t DecodeGraphs::RowsFor(const ModelBatch& batch) const {
  if (batch.groups.empty() || batch.num_rows != batch.num_generated_rows ||
      batch.query_start.size - 1 != batch.num_rows) {
    return 0;
  }
  const auto graph =
      std::lower_bound(graphs_.begin(), graphs_.end(), batch.num_rows,
                       [](const Graph& each, int64_t rows) { return each.rows < rows; });
  if (graph == graphs_.end()) return 0;
  const DeviceArray<const int32_t> lengths = batch.groups.front().kv_len;
  int64_t keys = graph->rows - batch.num_rows;  // of the padding
  for (int64_t entry = 0; entry < lengths.size; ++entry) keys += lengths.data[entry];
  return keys <= graph->extent.keys ? graph->rows : 0;
}

void DecodeGraphs::Run(int64_t rows) {
  const auto graph = std::find_if(graphs_.begin(), graphs_.end(),
                                  [&](const Graph& each) { return each.rows == rows; });
  QUIRE_CHECK(graph != graphs_.end()) << rows;
  queue_.Run(*graph->work);
}

std::string DecodeGraphs::Describe() const {
  if (graphs_.empty()) return "no decode graphs";
  return absl::StrFormat("%d decode graphs of up to %d rows, recorded in %.2f s, %d MiB",
                         graphs_.size(), graphs_.back().rows, absl::ToDoubleSeconds(time_),
                         bytes_ >> 20);
}

}  // namespace quire
