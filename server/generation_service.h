// quire.v1.GenerationService over the callback API.
#ifndef QUIRE_SERVER_GENERATION_SERVICE_H_
#define QUIRE_SERVER_GENERATION_SERVICE_H_

#include "quire/v1/generation.grpc.pb.h"
#include "server/services.h"

namespace quire {

class GenerationServiceImpl final : public v1::GenerationService::CallbackService {
 public:
  // `services` outlives the service.
  explicit GenerationServiceImpl(Services& services);

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerateEvent>* GenerateStream(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const v1::EmbedRequest* request,
                                  v1::EmbedResponse* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;
  grpc::ServerUnaryReactor* EstimateCost(grpc::CallbackServerContext* context,
                                         const v1::GenerateRequest* request,
                                         v1::CostEstimate* response) override;
  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const v1::AbortRequest* request,
                                  v1::AbortResponse* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::ModelInfo* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::ServerInfo* response) override;

 private:
  template <typename Request, typename Response>
  using UnaryMethod = grpc::ServerUnaryReactor* (
      GenerationServiceImpl::*)(grpc::CallbackServerContext*, const Request*, Response*);
  template <typename Request, typename Response>
  void CheckRequestsOf(const char* name, UnaryMethod<Request, Response> method);

  Services& services_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_GENERATION_SERVICE_H_
