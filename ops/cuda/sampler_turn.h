// Rows to sample and score, as the lists of records that the kernels take, a turn at a time.
#ifndef QUIRE_OPS_CUDA_SAMPLER_TURN_H_
#define QUIRE_OPS_CUDA_SAMPLER_TURN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "ops/cuda/cuda_sampler.h"
#include "ops/cuda/penalty_rows.h"
#include "ops/cuda/sampler_args.h"
#include "ops/sampler.h"

namespace quire {

class SamplerTurn {
 public:
  // Both outlive it. What a turn takes of `penalty_rows` is the device's when the next one begins.
  SamplerTurn(const CudaSamplerOptions& options, PenaltyRows& penalty_rows);

  // Of the lists of a turn, at most.
  static size_t MaxBytes(const CudaSamplerOptions& options);

  void Begin();
  // Lists as many of the first rows as there is room for, at least one, and returns their number.
  size_t Take(absl::Span<const SampleRow> rows);
  // At most max_rows of a turn.
  void TakeScore(int64_t logits_row, TokenId token, int32_t top);

  const std::vector<DrawRow>& draws() const { return draws_; }
  const std::vector<ScoreRow>& score_rows() const { return score_rows_; }
  const std::vector<EditRow>& edit_rows() const { return edit_rows_; }
  const std::vector<LogitEdit>& edits() const { return edits_; }
  size_t bytes() const;

 private:
  bool HasRoomFor(const SampleRow& row) const;
  void TakeRow(const SampleRow& row);
  void TakeEdits(const SampleRow& row);
  void TakePenalties(const SampleRow& row, EditRow& edit_row);
  void Edit(TokenId id, float value, int32_t& count);
  int32_t CheckedTop(int32_t top) const;

  const CudaSamplerOptions& options_;
  PenaltyRows& penalty_rows_;
  std::vector<int32_t> counts_;  // [V], all zero between uses
  std::vector<DrawRow> draws_;
  std::vector<ScoreRow> score_rows_;
  std::vector<EditRow> edit_rows_;
  std::vector<LogitEdit> edits_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_SAMPLER_TURN_H_
