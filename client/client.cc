#include "client/client.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/message_check.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace quire {
namespace {

using Stub = v1::GenerationService::StubInterface;

void SetDeadline(const CallOptions& options, grpc::ClientContext& context) {
  if (options.timeout == absl::InfiniteDuration()) return;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
}

template <typename Service, typename Request, typename Response>
absl::StatusOr<Response> Call(grpc::Status (Service::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                              Service& stub, const Connection& connection, const Request& request,
                              const CallOptions& options) {
  if (absl::Status status = CheckStrings(request); !status.ok()) return status;
  grpc::ClientContext context;
  SetDeadline(options, context);
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) return connection.Explain(status);
  return response;
}

}  // namespace

Client::Client(std::string address, const ChannelOptions& options)
    : connection_(std::make_shared<const Connection>(std::move(address), options)),
      stub_(v1::GenerationService::NewStub(connection_->channel())),
      admin_(v1::AdminService::NewStub(connection_->channel())) {}

GenerateStream Client::Stream(const v1::GenerateRequest& request,
                              const CallOptions& options) const {
  if (absl::Status status = CheckStrings(request); !status.ok()) {
    return GenerateStream(std::move(status));
  }
  auto context = std::make_unique<grpc::ClientContext>();
  SetDeadline(options, *context);
  auto reader = stub_->GenerateStream(context.get(), request);
  return {connection_, std::move(context), std::move(reader)};
}

absl::StatusOr<v1::GenerateResponse> Client::Generate(const v1::GenerateRequest& request,
                                                      const CallOptions& options) const {
  return Call(&Stub::Generate, *stub_, *connection_, request, options);
}

absl::StatusOr<v1::EmbedResponse> Client::Embed(const v1::EmbedRequest& request,
                                                const CallOptions& options) const {
  return Call(&Stub::Embed, *stub_, *connection_, request, options);
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(const v1::TokenizeRequest& request,
                                                      const CallOptions& options) const {
  return Call(&Stub::Tokenize, *stub_, *connection_, request, options);
}

absl::StatusOr<v1::DetokenizeResponse> Client::Detokenize(const v1::DetokenizeRequest& request,
                                                          const CallOptions& options) const {
  return Call(&Stub::Detokenize, *stub_, *connection_, request, options);
}

absl::StatusOr<v1::CostEstimate> Client::EstimateCost(const v1::GenerateRequest& request,
                                                      const CallOptions& options) const {
  return Call(&Stub::EstimateCost, *stub_, *connection_, request, options);
}

absl::StatusOr<v1::AbortResponse> Client::Abort(const v1::AbortRequest& request,
                                                const CallOptions& options) const {
  return Call(&Stub::Abort, *stub_, *connection_, request, options);
}

absl::StatusOr<v1::ModelInfo> Client::GetModelInfo(const CallOptions& options) const {
  return Call(&Stub::GetModelInfo, *stub_, *connection_, v1::GetModelInfoRequest(), options);
}

absl::StatusOr<v1::ServerInfo> Client::GetServerInfo(const CallOptions& options) const {
  return Call(&Stub::GetServerInfo, *stub_, *connection_, v1::GetServerInfoRequest(), options);
}

absl::StatusOr<v1::SetRopeScalingResponse> Client::SetRopeScaling(
    const v1::SetRopeScalingRequest& request, const CallOptions& options) const {
  return Call(&v1::AdminService::StubInterface::SetRopeScaling, *admin_, *connection_, request,
              options);
}

absl::Status Client::CheckHealth(const std::string& service, const CallOptions& options) const {
  using grpc::health::v1::HealthCheckResponse;
  grpc::ClientContext context;
  SetDeadline(options, context);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::Stub(connection_->channel()).Check(&context, request, &response);
  if (!status.ok()) return connection_->Explain(status);
  if (response.status() == HealthCheckResponse::SERVING) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      connection_->address(), " is ", HealthCheckResponse::ServingStatus_Name(response.status()),
      ": it is draining or cannot make steps"));
}

}  // namespace quire
