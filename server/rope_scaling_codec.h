// SetRopeScalingRequest -> RopeChoice: the wire form stops here.
#ifndef QUIRE_SERVER_ROPE_SCALING_CODEC_H_
#define QUIRE_SERVER_ROPE_SCALING_CODEC_H_

#include "absl/status/statusor.h"
#include "core/rope_choice.h"
#include "quire/v1/admin.pb.h"

namespace quire {

// INVALID_ARGUMENT names the field. Whether the model can take it is LoadedModel's to say.
absl::StatusOr<RopeChoice> DecodeRopeScaling(const v1::SetRopeScalingRequest& wire);

}  // namespace quire

#endif  // QUIRE_SERVER_ROPE_SCALING_CODEC_H_
