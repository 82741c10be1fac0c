// What rows see in front of their windows: the sinks of their own sequence, or learned ones.
#include <cstdint>
#include <vector>

#include "core/allocation_bytes.h"
#include "core/status_macros.h"
#include "model/decoder.h"

namespace quire {
namespace {

// A learned token's row in a batch of its own.
struct SinkRow {
  int64_t slot = 0;
  int32_t token = 0;
  int32_t rope_row = 0;
};

}  // namespace

size_t Decoder::SinkTokenBytes(const std::vector<KvGroupStorage>& pools) {
  size_t pages = 0;
  for (const KvGroupStorage& pool : pools) pages += pool.shared_blocks;
  return AllocationBytes(pages * sizeof(int32_t)) + AllocationBytes(sizeof(SinkRow));
}

// The keys and values of the learned sink tokens are the same for every sequence: each layer's own
// rows, at positions 0 .., through its projections alone.
absl::Status Decoder::WriteSinkTokens(DeviceMemory& memory) {
  std::vector<int32_t> pages;
  for (int group = 0; group < kv_.num_groups(); ++group) {
    for (int32_t page = 0; page < kv_.group(group).shared_blocks; ++page) {
      pages.push_back(kv_.group(group).num_blocks + page);
    }
  }
  QUIRE_ASSIGN_OR_RETURN(sink_pages_,
                         memory.Allocate(pages.size() * sizeof(int32_t), "activations"));
  memory.CopyFromHost(sink_pages_.data(), pages.data(), pages.size() * sizeof(int32_t));

  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer, memory.Allocate(sizeof(SinkRow), "activations"));
  auto* const row = static_cast<SinkRow*>(buffer.data());
  const int64_t rope_row = limits_.rope_rows.first_step_row();
  const DeviceMatrix residual = act_.residual.Rows(0, 1);
  const DeviceMatrix projected = act_.normed.Rows(0, 1);
  for (int32_t token = 0; token < config_.sink_tokens; ++token) {
    rope_->ComputeStepRows({{.first_row = rope_row,
                             .count = 1,
                             .first_position = token,
                             .rope = {.choice = limits_.rope_rows.choice}}});
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      const KvGroupStorage& group = kv_.group(kv_groups_.places[layer].group);
      const SinkRow values{.slot = int64_t{group.num_blocks} * group.layout.block_tokens + token,
                           .token = token,
                           .rope_row = static_cast<int32_t>(rope_row)};
      memory.CopyFromHost(row, &values, sizeof(values));
      const GqaWeights& weights = weights_.layers[layer].gqa;
      const NormRopeWriteParams rotation = Rotation(layer, 1);
      ops_.Embed(*weights.sink_tokens, {&row->token, 1}, {}, residual);
      ops_.Normalise(residual, no_norm_, projected);  // to the type that products read
      ops_.Apply(*weights.qkv, projected, rotation.qkv);
      attention_.NormRopeWrite(rotation,
                               {.rope_rows = {&row->rope_row, 1}, .slots = {&row->slot, 1}});
    }
  }
  for (LayerWeights& layer : weights_.layers) layer.gqa.sink_tokens.reset();
  return absl::OkStatus();
}

// What the layer's rows see in front of their windows.
KvPrefix Decoder::Sinks(int layer, int64_t rows) const {
  const LayerConfig& sees = config_.layers[layer];
  KvPrefix sinks{.tokens = sees.sinks};
  if (config_.sink_tokens > 0) {
    const int group = kv_groups_.places[layer].group;
    const int64_t pages = kv_.group(group).shared_blocks;
    sinks = {.tokens = config_.sink_tokens,
             .shared = true,
             .blocks = {static_cast<const int32_t*>(sink_pages_.data()) + group * pages, pages}};
  }
  if (config_.StreamsSinks(sees)) sinks.q2 = act_.streamed_q.Rows(0, rows);
  return sinks;
}

}  // namespace quire
