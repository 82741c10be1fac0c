// Which rows of the device's table of penalty counts are whose, and how much is counted in them.
#ifndef QUIRE_OPS_CUDA_PENALTY_ROWS_H_
#define QUIRE_OPS_CUDA_PENALTY_ROWS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ops/sampler.h"

namespace quire {

// A penalty row belongs to one sequence at a time, and keeps its counts until another needs it: the
// one whose last turn is longest ago makes way. Allocates nothing after it was made.
class PenaltyRows {
 public:
  // An output that has grown by more than `most_new` tokens is counted anew.
  PenaltyRows(int64_t rows, int64_t most_new);

  // What rows were taken for has been given to the device.
  void BeginTurn() { ++turn_; }

  // Whether the sequence has a row in this turn already.
  bool IsTaken(uint64_t sequence) const;
  // How many of the output's first tokens are counted on the device, with the prompt's flags where
  // the row needs them; none where it has to be counted anew.
  std::optional<int64_t> Counted(const SampleRow& row) const;

  struct Place {
    int32_t row = 0;
    std::optional<int64_t> counted;  // as Counted says
  };
  // For a row with penalties whose sequence isn't taken in this turn. Behind it the whole output is
  // counted, and the pending token if there is one. In a turn at most as many as there are rows.
  Place Take(const SampleRow& row);

 private:
  struct Row {
    uint64_t sequence = 0;  // 0: nobody's
    int64_t counted = 0;    // tokens of the output, a pending one too
    bool has_prompt = false;
    uint64_t last_turn = 0;
  };

  int32_t Find(uint64_t sequence) const;  // or -1
  int32_t Vacate();

  const int64_t most_new_;
  std::vector<Row> rows_;
  absl::flat_hash_map<uint64_t, int32_t> row_of_;
  uint64_t turn_ = 1;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_PENALTY_ROWS_H_
