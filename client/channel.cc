#include "client/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/call_status.h"

namespace quire {
namespace {

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_receive_bytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_interval)));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_timeout)));
  // As long as the quiet lasts: gRPC's own limit is two pings without data between them.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options.own_connection ? 1 : 0);
  // The address alone says where calls go: $http_proxy is meant for other things.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

Connection::Connection(std::string address, const ChannelOptions& options)
    : address_(std::move(address)), channel_(MakeChannel(address_, options)) {}

absl::Status Connection::Await(absl::Duration timeout) const {
  if (channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + timeout))) {
    return absl::OkStatus();
  }
  return CannotConnect(absl::StatusCode::kUnavailable,
                       absl::StrCat("tried for ", absl::FormatDuration(timeout)));
}

absl::Status Connection::Explain(const grpc::Status& status) const {
  absl::Status result = FromGrpcStatus(status);
  const bool unavailable = absl::IsUnavailable(result);
  if (!unavailable && !absl::IsDeadlineExceeded(result)) return result;
  // A server that says UNAVAILABLE itself (it drains) says it over a connection that is well.
  const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/false);
  const bool no_connection =
      state == GRPC_CHANNEL_TRANSIENT_FAILURE || (state == GRPC_CHANNEL_CONNECTING && !unavailable);
  if (!no_connection) return result;
  return CannotConnect(result.code(), status.error_message());
}

absl::Status Connection::CannotConnect(absl::StatusCode code, const std::string& detail) const {
  return absl::Status(code, absl::StrCat("cannot connect to ", address_,
                                         ": is quire-server running there? (", detail, ")"));
}

}  // namespace quire
