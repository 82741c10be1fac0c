// Rotary scalings as flags and command lines have them: KIND[:FACTOR[:ORIGINAL]].
#ifndef QUIRE_PROTO_ROPE_SCALING_TEXT_H_
#define QUIRE_PROTO_ROPE_SCALING_TEXT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "quire/v1/admin.pb.h"

namespace quire {

// "model", "none", "linear:4", "ntk:4", "dynamic:2:4096", "yarn:4:32768". INVALID_ARGUMENT says
// what is wrong with the form; ranges are the server's to check.
absl::StatusOr<v1::SetRopeScalingRequest> ParseRopeScaling(absl::string_view text);

}  // namespace quire

#endif  // QUIRE_PROTO_ROPE_SCALING_TEXT_H_
