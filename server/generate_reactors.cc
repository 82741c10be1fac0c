#include "server/generate_reactors.h"

#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "core/steady_time.h"
#include "proto/response_collector.h"
#include "server/call_reactor.h"
#include "server/generation.h"
#include "server/grpc_status.h"

namespace quire {
namespace {

class StreamReactor : public CallReactor<grpc::ServerWriteReactor<v1::GenerateEvent>, Generation> {
 public:
  StreamReactor(Services& services, grpc::CallbackServerContext& context)
      : CallReactor(services, context) {}
  using CallReactor::Start;

  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    write_since_.reset();
    if (!ok) CancelLocked();
    AdvanceLocked();
  }

 private:
  void ContinueLocked() override {
    // Taking only when all has been written is what stalls the sequence of a slow reader.
    if (outbox_.empty()) {
      for (v1::GenerateEvent& event : job_->Take()) outbox_.push_back(std::move(event));
    }
    if (outbox_.empty()) {
      if (job_->ended()) FinishLocked(job_->status());
      return;
    }
    writing_event_ = std::move(outbox_.front());
    outbox_.pop_front();
    write_since_ = SteadyNow();
    StartWrite(&writing_event_);
  }

  std::deque<v1::GenerateEvent> outbox_;
  v1::GenerateEvent writing_event_;
};

class UnaryReactor : public CallReactor<grpc::ServerUnaryReactor, Generation> {
 public:
  UnaryReactor(Services& services, grpc::CallbackServerContext& context,
               v1::GenerateResponse& response)
      : CallReactor(services, context), response_(response) {}
  using CallReactor::Start;

 private:
  void ContinueLocked() override {
    for (auto events = job_->Take(); !events.empty(); events = job_->Take()) {
      for (const v1::GenerateEvent& event : events) collector_.Add(event);
    }
    if (!job_->ended()) return;
    response_ = collector_.Take();
    FinishLocked(job_->status());
  }

  ResponseCollector collector_;
  v1::GenerateResponse& response_;  // gRPC's
};

}  // namespace

grpc::ServerWriteReactor<v1::GenerateEvent>* StartGenerateStream(
    Services& services, grpc::CallbackServerContext& context, const v1::GenerateRequest& request) {
  const auto reactor = std::make_shared<StreamReactor>(services, context);
  reactor->Start(request);
  return reactor.get();
}

grpc::ServerWriteReactor<v1::GenerateEvent>* RefuseGenerateStream(const absl::Status& status) {
  class Refusal : public grpc::ServerWriteReactor<v1::GenerateEvent> {
   public:
    explicit Refusal(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
    void OnDone() override { delete this; }
  };
  return new Refusal(status);
}

grpc::ServerUnaryReactor* StartGenerate(Services& services, grpc::CallbackServerContext& context,
                                        const v1::GenerateRequest& request,
                                        v1::GenerateResponse& response) {
  const auto reactor = std::make_shared<UnaryReactor>(services, context, response);
  reactor->Start(request);
  return reactor.get();
}

}  // namespace quire
