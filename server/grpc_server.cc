#include "server/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/limits.h"

namespace quire {

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(Services& services,
                                                              const std::string& listen) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<GrpcServer> made(new GrpcServer(services));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A second server on the same port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients may ping every 10 s, without calls too.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.RegisterService(&made->service_);
  made->server_ = builder.BuildAndStart();
  const bool is_unix = absl::StartsWith(listen, "unix:");
  if (made->server_ == nullptr || (port == 0 && !is_unix)) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", listen,
                     ": the address is in use or is not this machine's; choose "
                     "another with --listen HOST:PORT"));
  }
  made->address_ = is_unix ? listen : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  made->server_->GetHealthCheckService()->SetServingStatus(
      v1::GenerationService::service_full_name(), true);
  return made;
}

GrpcServer::~GrpcServer() = default;

void GrpcServer::StopBeingReady() {
  server_->GetHealthCheckService()->SetServingStatus(false);
  server_->GetHealthCheckService()->SetServingStatus(v1::GenerationService::service_full_name(),
                                                     false);
}

void GrpcServer::Shutdown(absl::Time deadline) { server_->Shutdown(absl::ToChronoTime(deadline)); }

}  // namespace quire
