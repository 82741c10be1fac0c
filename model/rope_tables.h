// The rotation tables of a model on its device, and the rows of them that a step computes.
#ifndef QUIRE_MODEL_ROPE_TABLES_H_
#define QUIRE_MODEL_ROPE_TABLES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "attention/attention.h"
#include "core/device_memory.h"
#include "core/rope_choice.h"
#include "model/rope_scaling.h"

namespace quire {

// Which row holds what, in the tables of every kind of layers alike:
//   [0, base_rows)          positions of sequences within the original context
//   base_rows + [0, long)   positions of longer ones, where all of them have the same frequencies
//   then step_rows          whatever the step's other rows need, computed for that step
struct RopeRowLayout {
  RopeChoice choice;           // of the rows that are computed once
  int64_t first_position = 0;  // what a sequence's position 0 turns by: learned sinks lie before it
  int64_t seen_positions = 0;  // > 0: queries turn once more, by seen_positions - 1 at most
  int64_t base_rows = 0;
  int64_t long_rows = 0;
  int64_t step_rows = 0;

  int64_t first_step_row() const { return base_rows + long_rows; }
  int64_t num_rows() const { return first_step_row() + step_rows; }
  // The row of a sequence's position 0, from which those of [0, end) count, or -1: they are step
  // rows.
  int64_t FirstRow(const SequenceRope& rope, int64_t end) const {
    if (!(rope.choice == choice)) return -1;
    if (rope.length == 0) return end <= base_rows ? 0 : -1;
    return end <= long_rows ? base_rows : -1;
  }
};

// With the positions [0, max_positions) computed once, and up to step_rows in a step.
RopeRowLayout LayOutRopeRows(const RequestRope& rope, int64_t max_positions, int64_t step_rows);

// Step rows [first_row, first_row + count) turn by [first_position, ...).
struct RopeSpan {
  int64_t first_row = 0;
  int64_t count = 0;
  int64_t first_position = 0;
  SequenceRope rope;
};

// cos and sin, times attention_factor, computed in fp64 and stored in fp32.
class RopeTables {
 public:
  // ropes.own is copied.
  static absl::StatusOr<std::unique_ptr<RopeTables>> Create(const ModelRopes& ropes,
                                                            const RopeRowLayout& layout,
                                                            DeviceMemory& memory);
  static size_t Bytes(const ModelRopes& ropes, const RopeRowLayout& layout);

  // Of the layers of `kind`, an index into ModelRopes::own.
  const RopeTable& view(int kind) const { return kinds_[kind].view; }

  // Allocates nothing.
  void ComputeStepRows(absl::Span<const RopeSpan> spans);

 private:
  struct Kind {
    RopeConfig own;
    DeviceBuffer buffer;  // cos [num_rows, rotary_dim / 2], then sin
    RopeTable view;
  };
  // What the steps before have worked out of one rotation.
  struct Known {
    SequenceRope rope;
    uint64_t last_use = 0;                         // 0: nothing is known
    std::vector<std::vector<double>> frequencies;  // [kinds][rotary_dim / 2]
    std::vector<double> attention_factors;         // [kinds]
  };

  explicit RopeTables(DeviceMemory& memory) : memory_(memory) {}
  void Fill(Kind& kind, const std::vector<double>& frequencies, double attention_factor,
            int64_t first_row, int64_t count, int64_t first_position);
  const Known& Find(const SequenceRope& rope);

  DeviceMemory& memory_;
  int64_t max_positions_ = 0;
  std::vector<Kind> kinds_;
  std::vector<Known> known_;
  uint64_t uses_ = 0;
  std::vector<float> staging_;  // cos and sin of kStagedRows rows of the widest kind
};

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_TABLES_H_
