#include "ops/cuda/sampler_turn.h"

#include <algorithm>
#include <optional>

#include "core/check.h"
#include "ops/cuda/sampler_records.h"
#include "ops/logit_edits.h"
#include "ops/sampling_math.h"

namespace quire {
namespace {

// A row's biases, bans and penalties may be V each.
int64_t MaxEdits(const CudaSamplerOptions& options) {
  return std::max(options.max_edits, 3 * options.vocab_size);
}

}  // namespace

SamplerTurn::SamplerTurn(const CudaSamplerOptions& options, PenaltyRows& penalty_rows)
    : options_(options), penalty_rows_(penalty_rows), counts_(options.vocab_size) {
  draws_.reserve(options_.max_rows);
  score_rows_.reserve(options_.max_rows);
  edit_rows_.reserve(options_.max_edited_rows);
  edits_.reserve(MaxEdits(options_));
}

size_t SamplerTurn::MaxBytes(const CudaSamplerOptions& options) {
  return RecordBytes<DrawRow>(options.max_rows) + RecordBytes<ScoreRow>(options.max_rows) +
         RecordBytes<EditRow>(options.max_edited_rows) + RecordBytes<LogitEdit>(MaxEdits(options));
}

size_t SamplerTurn::bytes() const {
  return RecordBytes<DrawRow>(static_cast<int64_t>(draws_.size())) +
         RecordBytes<ScoreRow>(static_cast<int64_t>(score_rows_.size())) +
         RecordBytes<EditRow>(static_cast<int64_t>(edit_rows_.size())) +
         RecordBytes<LogitEdit>(static_cast<int64_t>(edits_.size()));
}

void SamplerTurn::Begin() {
  penalty_rows_.BeginTurn();
  draws_.clear();
  score_rows_.clear();
  edit_rows_.clear();
  edits_.clear();
}

size_t SamplerTurn::Take(absl::Span<const SampleRow> rows) {
  size_t taken = 0;
  while (taken < rows.size() && static_cast<int64_t>(taken) < options_.max_rows &&
         HasRoomFor(rows[taken])) {
    TakeRow(rows[taken++]);
  }
  QUIRE_CHECK_GT(taken, 0U);
  return taken;
}

void SamplerTurn::TakeScore(int64_t logits_row, TokenId token, int32_t top) {
  QUIRE_CHECK(token >= 0 && token < options_.vocab_size) << token;
  score_rows_.push_back({.row = logits_row, .token = token, .top = CheckedTop(top)});
}

bool SamplerTurn::HasRoomFor(const SampleRow& row) const {
  if (!EditsLogits(row)) return true;
  const size_t vocab = counts_.size();
  size_t most = row.params->logit_bias.size() + std::min(row.banned.size(), vocab);
  if (row.params->HasPenalties()) {
    if (penalty_rows_.IsTaken(row.sequence)) return false;
    const std::optional<int64_t> counted = penalty_rows_.Counted(row);
    most += counted ? row.output.size() - *counted
                    : std::min(row.prompt.size() + row.output.size(), vocab);
  }
  return static_cast<int64_t>(edit_rows_.size()) < options_.max_edited_rows &&
         static_cast<int64_t>(edits_.size() + most) <= MaxEdits(options_);
}

void SamplerTurn::TakeRow(const SampleRow& row) {
  const SamplingParams& params = *row.params;
  const bool is_edited = EditsLogits(row);
  const bool is_greedy = params.temperature == 0;
  const auto draw = static_cast<int32_t>(draws_.size());
  draws_.push_back(
      {.row = is_edited ? static_cast<int64_t>(edit_rows_.size()) : row.logits_row,
       .is_edited = is_edited ? 1 : 0,
       .top_k = params.top_k < options_.vocab_size ? params.top_k : 0,
       .scale = is_greedy ? 0.0F : TemperatureScale(params.temperature),
       .top_p = params.top_p,
       .min_weight = MinWeight(params.min_p),
       .random_bits = RandomBits(params.seed, row.sequence_index, row.output_position)});
  if (is_edited) TakeEdits(row);
  if (row.top_logprobs) {
    score_rows_.push_back(
        {.row = row.logits_row, .draw = draw, .top = CheckedTop(*row.top_logprobs)});
  }
}

void SamplerTurn::TakeEdits(const SampleRow& row) {
  EditRow edit_row{.logits_row = row.logits_row, .first_edit = static_cast<int32_t>(edits_.size())};
  for (const auto& [id, bias] : row.params->logit_bias) Edit(id, bias, edit_row.num_biases);
  QUIRE_CHECK_LE(row.banned.size(), counts_.size());
  for (TokenId id : row.banned) Edit(id, 0.0F, edit_row.num_bans);
  if (row.params->HasPenalties()) TakePenalties(row, edit_row);
  edit_rows_.push_back(edit_row);
}

void SamplerTurn::TakePenalties(const SampleRow& row, EditRow& edit_row) {
  edit_row.repetition_penalty = row.params->repetition_penalty;
  edit_row.frequency_penalty = row.params->frequency_penalty;
  edit_row.presence_penalty = row.params->presence_penalty;
  const PenaltyRows::Place place = penalty_rows_.Take(row);
  edit_row.penalty_row = place.row;
  if (place.counted) {
    for (TokenId id : row.output.subspan(*place.counted)) Edit(id, 1.0F, edit_row.num_counts);
  } else {
    edit_row.counts_anew = 1;
    ForEachPenalised(row, absl::MakeSpan(counts_), [&](TokenId id, int32_t count) {
      Edit(id, static_cast<float>(count > 0 ? count : kInPrompt), edit_row.num_counts);
    });
  }
  if (row.pending) edit_row.pending = *row.pending;
}

void SamplerTurn::Edit(TokenId id, float value, int32_t& count) {
  edits_.push_back({.id = id, .value = value});
  ++count;
}

int32_t SamplerTurn::CheckedTop(int32_t top) const {
  QUIRE_CHECK(top >= 0 && top <= options_.max_top) << top << " of " << options_.max_top;
  return top;
}

}  // namespace quire
