#include "server/grpc_server.h"

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "server/limits.h"

namespace quire {
namespace {

// A client must not make the libraries write to our log; faults reach the calls as statuses.
void SilenceLibraries() {
  setenv("GRPC_VERBOSITY", "NONE", /*replace=*/0);
#if GOOGLE_PROTOBUF_VERSION < 4022000  // later ones log through absl
  google::protobuf::SetLogHandler(nullptr);
#endif
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(Services& services,
                                                              const ListenAddress& listen) {
  // gRPC tells no reason, and would take a unix socket from the server that holds it.
  QUIRE_RETURN_IF_ERROR(CheckCanListen(listen));
  SilenceLibraries();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<GrpcServer> made(new GrpcServer(services));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen.text, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A second server on the same port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients may ping every 10 s, without calls too; a little sooner where the network has held a
  // ping up.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 9'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.RegisterService(&made->service_);
  builder.RegisterService(&made->admin_service_);
  made->server_ = builder.BuildAndStart();
  if (made->server_ == nullptr || (port == 0 && !listen.is_unix())) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", listen.text,
                                               ": gRPC refuses (GRPC_VERBOSITY=ERROR tells why)"));
  }
  const std::string& text = listen.text;
  made->address_ =
      listen.is_unix() ? text : absl::StrCat(text.substr(0, text.rfind(':')), ":", port);
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

void GrpcServer::Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

}  // namespace quire
