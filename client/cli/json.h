// Messages of the interface as JSON for people and scripts.
#ifndef QUIRE_CLIENT_CLI_JSON_H_
#define QUIRE_CLIENT_CLI_JSON_H_

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "quire/v1/generation.pb.h"

namespace quire::cli {

using Json = nlohmann::ordered_json;

// The fields under their names in the .proto, in its order. Fields that can be unset are left out
// where they are; 64-bit integers are numbers; an enum is its name without the common prefix
// ("MAX_TOKENS"); a Duration is a number of seconds, and its key ends in _s.
Json ToJson(const google::protobuf::Message& message);

// {"code": "UNAVAILABLE", "message": "...", "retry_after_s": 1.0}
Json ToJson(const absl::Status& status);

// One line; `indent` >= 0 spreads it. What is not UTF-8 becomes U+FFFD.
std::string Dump(const Json& json, int indent = -1);

// "MAX_TOKENS" for FINISH_REASON_MAX_TOKENS.
std::string Name(v1::FinishReason reason);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_JSON_H_
