// grpc::Status -> absl::Status, with what the server says about trying again.
#ifndef QUIRE_CLIENT_CALL_STATUS_H_
#define QUIRE_CLIENT_CALL_STATUS_H_

#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quire {

// Code and message are kept. A google.rpc.RetryInfo among the status details becomes a payload, so
// that it goes wherever the status goes.
absl::Status FromGrpcStatus(const grpc::Status& status);

// How long the server asks to wait before the next try; nullopt where it does not say.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

}  // namespace quire

#endif  // QUIRE_CLIENT_CALL_STATUS_H_
