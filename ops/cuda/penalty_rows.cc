#include "ops/cuda/penalty_rows.h"

#include "core/check.h"

namespace quire {
namespace {

bool NeedsPrompt(const SampleRow& row) { return row.params->repetition_penalty != 1.0F; }

}  // namespace

PenaltyRows::PenaltyRows(int64_t rows, int64_t most_new) : most_new_(most_new), rows_(rows) {
  // Half empty and never small: erased entries are then cleared in place.
  row_of_.reserve(2 * rows + 32);
}

int32_t PenaltyRows::Find(uint64_t sequence) const {
  const auto found = row_of_.find(sequence);
  return found == row_of_.end() ? -1 : found->second;
}

bool PenaltyRows::IsTaken(uint64_t sequence) const {
  const int32_t index = Find(sequence);
  return index >= 0 && rows_[index].last_turn == turn_;
}

std::optional<int64_t> PenaltyRows::Counted(const SampleRow& row) const {
  const int32_t index = Find(row.sequence);
  if (index < 0) return std::nullopt;
  const Row& at = rows_[index];
  const int64_t added = static_cast<int64_t>(row.output.size()) - at.counted;
  if (added < 0 || added > most_new_) return std::nullopt;
  if (NeedsPrompt(row) && !at.has_prompt) return std::nullopt;
  return at.counted;
}

PenaltyRows::Place PenaltyRows::Take(const SampleRow& row) {
  Place place{.row = Find(row.sequence), .counted = Counted(row)};
  if (place.row < 0) {
    place.row = Vacate();
    if (row.sequence != 0) row_of_[row.sequence] = place.row;
  }
  Row& at = rows_[place.row];
  QUIRE_CHECK_LT(at.last_turn, turn_) << "sequence " << row.sequence;
  at = {.sequence = row.sequence,
        .counted = static_cast<int64_t>(row.output.size()) + (row.pending ? 1 : 0),
        .has_prompt = NeedsPrompt(row) || (place.counted && at.has_prompt),
        .last_turn = turn_};
  return place;
}

// Nobody's row, or else the one that was used longest ago.
int32_t PenaltyRows::Vacate() {
  int32_t best = -1;
  for (int32_t i = 0; i < static_cast<int32_t>(rows_.size()); ++i) {
    const Row& row = rows_[i];
    if (row.last_turn == turn_) continue;
    if (row.sequence == 0) return i;
    if (best < 0 || row.last_turn < rows_[best].last_turn) best = i;
  }
  QUIRE_CHECK_GE(best, 0) << "a turn takes more than " << rows_.size() << " rows";
  row_of_.erase(rows_[best].sequence);
  return best;
}

}  // namespace quire
