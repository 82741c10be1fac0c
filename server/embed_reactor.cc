#include "server/embed_reactor.h"

#include <memory>

#include "server/call_reactor.h"
#include "server/embed_job.h"

namespace quire {
namespace {

class EmbedReactor : public CallReactor<grpc::ServerUnaryReactor, EmbedJob> {
 public:
  EmbedReactor(Services& services, grpc::CallbackServerContext& context,
               v1::EmbedResponse& response)
      : CallReactor(services, context), response_(response) {}
  using CallReactor::Start;

 private:
  void ContinueLocked() override {
    job_->Advance();
    if (!job_->ended()) return;
    if (job_->status().ok()) response_ = job_->TakeResponse();
    FinishLocked(job_->status());
  }

  v1::EmbedResponse& response_;  // gRPC's
};

}  // namespace

grpc::ServerUnaryReactor* StartEmbed(Services& services, grpc::CallbackServerContext& context,
                                     const v1::EmbedRequest& request, v1::EmbedResponse& response) {
  const auto reactor = std::make_shared<EmbedReactor>(services, context, response);
  reactor->Start(request);
  return reactor.get();
}

}  // namespace quire
