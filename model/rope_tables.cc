#include "model/rope_tables.h"

#include <algorithm>

#include "core/allocation_bytes.h"
#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Rotations whose frequencies are kept: more than decode together, commonly.
constexpr int kKnownRotations = 64;
// Rows that go to the device at a time.
constexpr int64_t kStagedRows = 64;

}  // namespace

RopeRowLayout LayOutRopeRows(const RequestRope& rope, int64_t max_positions, int64_t step_rows) {
  RopeRowLayout layout{.choice = rope.choice, .base_rows = max_positions, .step_rows = step_rows};
  if (rope.rule == RequestRope::LengthRule::kSwitch && max_positions > rope.original_positions) {
    layout.base_rows = rope.original_positions;
    layout.long_rows = max_positions;
  }
  return layout;
}

size_t RopeTables::Bytes(const ModelRopes& ropes, const RopeRowLayout& layout) {
  size_t bytes = 0;
  for (const RopeConfig& own : ropes.own) {
    bytes +=
        AllocationBytes(static_cast<size_t>(layout.num_rows()) * own.rotary_dim * sizeof(float));
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<RopeTables>> RopeTables::Create(const ModelRopes& ropes,
                                                               const RopeRowLayout& layout,
                                                               DeviceMemory& memory) {
  std::unique_ptr<RopeTables> made(new RopeTables(memory));
  made->max_positions_ = ropes.max_positions;
  size_t widest = 0;
  for (const RopeConfig& own : ropes.own) {
    Kind& kind = made->kinds_.emplace_back();
    kind.own = own;
    const int64_t elements = layout.num_rows() * (own.rotary_dim / 2);
    if (elements > 0) {
      QUIRE_ASSIGN_OR_RETURN(kind.buffer,
                             memory.Allocate(2 * elements * sizeof(float), "rope tables"));
    }
    const auto* base = static_cast<const float*>(kind.buffer.data());
    kind.view = {.cos = base,
                 .sin = base + elements,
                 .num_rows = layout.num_rows(),
                 .rotary_dim = own.rotary_dim,
                 .interleaved = own.interleaved};
    widest = std::max<size_t>(widest, own.rotary_dim);
  }
  made->staging_.resize(widest * kStagedRows);
  made->known_.resize(kKnownRotations);
  for (Known& known : made->known_) {
    known.attention_factors.resize(made->kinds_.size());
    for (const Kind& kind : made->kinds_) {
      known.frequencies.emplace_back(kind.own.rotary_dim / 2);
    }
  }
  made->ComputeStepRows({{.first_row = 0,
                          .count = layout.base_rows,
                          .first_position = layout.first_position,
                          .rope = {.choice = layout.choice}}});
  if (layout.long_rows > 0) {
    made->ComputeStepRows({{.first_row = layout.base_rows,
                            .count = layout.long_rows,
                            .first_position = 0,
                            .rope = {.choice = layout.choice, .length = layout.base_rows + 1}}});
  }
  return made;
}

void RopeTables::ComputeStepRows(absl::Span<const RopeSpan> spans) {
  for (const RopeSpan& span : spans) {
    const Known& known = Find(span.rope);
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      Fill(kinds_[kind], known.frequencies[kind], known.attention_factors[kind], span.first_row,
           span.count, span.first_position);
    }
  }
}

void RopeTables::Fill(Kind& kind, const std::vector<double>& frequencies, double attention_factor,
                      int64_t first_row, int64_t count, int64_t first_position) {
  const auto half = static_cast<int64_t>(frequencies.size());
  if (half == 0) return;
  QUIRE_CHECK_LE(first_row + count, kind.view.num_rows);
  float* const cos = static_cast<float*>(kind.buffer.data()) + first_row * half;
  float* const sin = cos + kind.view.num_rows * half;
  for (int64_t done = 0; done < count; done += kStagedRows) {
    const int64_t rows = std::min(kStagedRows, count - done);
    float* const staged_sin = staging_.data() + rows * half;
    for (int64_t i = 0; i < rows; ++i) {
      FillRopeRow(frequencies, attention_factor, first_position + done + i,
                  staging_.data() + i * half, staged_sin + i * half);
    }
    const size_t bytes = static_cast<size_t>(rows * half) * sizeof(float);
    memory_.CopyFromHost(cos + done * half, staging_.data(), bytes);
    memory_.CopyFromHost(sin + done * half, staged_sin, bytes);
  }
}

// Works the frequencies out, unless a recent step did.
const RopeTables::Known& RopeTables::Find(const SequenceRope& rope) {
  Known* oldest = &known_.front();
  for (Known& known : known_) {
    if (known.last_use > 0 && known.rope == rope) {
      known.last_use = ++uses_;
      return known;
    }
    if (known.last_use < oldest->last_use) oldest = &known;
  }
  oldest->rope = rope;
  oldest->last_use = ++uses_;
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    const RopeConfig& own = kinds_[kind].own;
    // A scaling in place of the model's own has no lists to copy.
    const bool is_own = rope.choice.kind == RopeChoice::Kind::kModel || !own.takes_scaling;
    const RopeConfig scaled = is_own ? RopeConfig{} : ScaledRope(own, max_positions_, rope.choice);
    const RopeConfig& config = is_own ? own : scaled;
    FillInverseFrequencies(config, rope.length, absl::MakeSpan(oldest->frequencies[kind]));
    oldest->attention_factors[kind] = config.attention_factor;
  }
  return *oldest;
}

}  // namespace quire
