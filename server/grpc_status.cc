#include "server/grpc_status.h"

#include <string>

#include "google/rpc/error_details.pb.h"

namespace quire {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());  // the same numbers
  const std::string message(status.message());
  if (!absl::IsResourceExhausted(status) && !absl::IsUnavailable(status)) return {code, message};
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(retry);
  return {code, message, details.SerializeAsString()};
}

}  // namespace quire
