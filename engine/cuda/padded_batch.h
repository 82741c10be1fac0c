// Decode steps filled up with rows that belong to no sequence, so that there are few sizes of them.
#ifndef QUIRE_ENGINE_CUDA_PADDED_BATCH_H_
#define QUIRE_ENGINE_CUDA_PADDED_BATCH_H_

#include <cstdint>
#include <vector>

#include "engine/executor.h"
#include "model/model_batch.h"

namespace quire {

// Each row of padding is the first token of a text of its own, in the block of its KV group that is
// there for them all: they write the same there, and nobody reads it.
class PaddedBatch {
 public:
  explicit PaddedBatch(const BatchLimits& limits);

  // `batch` (host arrays; entries of one generated row each, or none) with `rows` rows in all, and
  // its copies and spans of rotation rows. Valid until the next call.
  const ModelBatch& Pad(const ModelBatch& batch, int64_t rows);

 private:
  struct Group {
    std::vector<int64_t> slots;
    std::vector<int32_t> table_start;
    std::vector<int32_t> first_block;
    std::vector<int32_t> blocks;
    std::vector<int32_t> prefix_start;
    std::vector<int32_t> prefix_blocks;
  };

  void PadGroup(const AttentionBatch& batch, const BatchLimits::Group& limits, int64_t rows,
                Group& group) const;

  const BatchLimits limits_;
  std::vector<int32_t> token_ids_;
  std::vector<int32_t> position_rows_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> rope_rows_;
  std::vector<int32_t> rope_rows2_;
  std::vector<int32_t> query_start_;
  std::vector<int32_t> kv_len_;
  std::vector<Group> groups_;
  ModelBatch padded_;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_PADDED_BATCH_H_
