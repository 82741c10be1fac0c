// What one step computes, as flat arrays: made by engine/batch_builder, read by the decoder. Rows
// of all sequences, decode tokens and prefill chunks together, without padding.
#ifndef QUIRE_MODEL_MODEL_BATCH_H_
#define QUIRE_MODEL_MODEL_BATCH_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "attention/attention.h"
#include "core/device_memory.h"
#include "core/ids.h"
#include "model/rope_tables.h"

namespace quire {

// T rows in S entries; [begin, end) ranges of rows are entries of one sequence each.
struct ModelBatch {
  int64_t num_rows = 0;  // T
  int64_t num_generated_rows =
      0;  // rows [0, n) are at generated positions, the rest at prompt ones
  DeviceArray<const int32_t> token_ids;      // [T]
  DeviceArray<const int32_t> position_rows;  // [T], of a table of learned positions
  // Without a cache (encoders) groups and copies are empty, and these say what belongs together.
  DeviceArray<const int32_t> query_start;  // [S + 1], first 0, last T
  DeviceArray<const int32_t> rope_rows;    // [T]
  // Per KV group: positions, slots and page tables. The arrays that don't differ are shared.
  std::vector<AttentionBatch> groups;
  // Rows of the rotation tables to compute before.
  std::vector<RopeSpan> rope_spans;
  // Per KV group: {source, target} pages to copy before any row is written.
  std::vector<std::vector<std::pair<BlockId, BlockId>>> copies;
};

}  // namespace quire

#endif  // QUIRE_MODEL_MODEL_BATCH_H_
