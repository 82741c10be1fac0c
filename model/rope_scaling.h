// Rotary scalings that are asked for at start or at run time, in place of config.json's.
#ifndef QUIRE_MODEL_ROPE_SCALING_H_
#define QUIRE_MODEL_ROPE_SCALING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/rope_choice.h"
#include "model/rope.h"

namespace quire {

// The rotation that a model's config.json describes: one config for each kind of layers.
struct ModelRopes {
  absl::Span<const RopeConfig> own;  // by kind; borrowed
  int64_t max_positions = 0;         // max_position_embeddings
};

// Whether the model can take the scaling. INVALID_ARGUMENT names what is out of range,
// FAILED_PRECONDITION says what the model lacks.
absl::Status CheckRopeChoice(const ModelRopes& ropes, const RopeChoice& choice);

// `own` under a choice that has been checked. The scaling is replaced, not multiplied; layers that
// have none because their windows are short (RopeConfig::takes_scaling) keep their own.
RopeConfig ScaledRope(const RopeConfig& own, int64_t max_positions, const RopeChoice& choice);

// How a request's rotation follows its length. INVALID_ARGUMENT where layer kinds disagree.
absl::StatusOr<RequestRope> RopeOfRequests(const ModelRopes& ropes, const RopeChoice& choice);

// The longest context that a scaling is made for, or config.json's.
int64_t StretchedPositions(const ModelRopes& ropes, const RopeChoice& choice);

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_SCALING_H_
