// absl::Status -> grpc::Status, with the details that clients act on.
#ifndef QUIRE_SERVER_GRPC_STATUS_H_
#define QUIRE_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace quire {

// RESOURCE_EXHAUSTED and UNAVAILABLE carry a google.rpc.RetryInfo.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace quire

#endif  // QUIRE_SERVER_GRPC_STATUS_H_
