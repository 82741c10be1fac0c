#include "server/generate_reactors.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/steady_time.h"
#include "proto/response_collector.h"
#include "server/generation.h"
#include "server/grpc_status.h"

namespace quire {
namespace {

// How long the client of a stalled call has to start reading again and hear why it failed.
constexpr absl::Duration kLastWordsLimit = absl::Seconds(5);

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : SteadyTimeOf(absl::FromChrono(deadline));
}

// What both calls share: the start, off gRPC's threads where the text is long; the wish to go on
// whenever tokens wait; and the end of the client. `Reactor` gives Finish(grpc::Status).
//
// Lives as long as gRPC (self_) or a task of a worker needs it. Everything else is guarded by
// mutex_; a derived class's AdvanceLocked does what can be done now. What has been handed to gRPC
// and is not done is watched: where the client reads nothing the request fails, and soon the call
// too.
template <typename Reactor>
class GenerateReactorBase : public Reactor,
                            public WriteWatch::Writer,
                            public std::enable_shared_from_this<GenerateReactorBase<Reactor>> {
 public:
  void OnDone() override {
    std::shared_ptr<GenerateReactorBase> last;
    const std::lock_guard<std::mutex> lock(mutex_);
    context_ = nullptr;  // gRPC's, and gone after this
    last = std::move(self_);
  }

  void OnCancel() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    CancelLocked();
    AdvanceLocked();
  }

 protected:
  GenerateReactorBase(Services& services, grpc::CallbackServerContext& context)
      : services_(services), context_(&context) {}

  // `request` lives until the call is done.
  void Start(const v1::GenerateRequest& request) {
    self_ = this->shared_from_this();
    services_.write_watch.Add(self_);
    const absl::Time deadline = DeadlineOf(*context_);
    if (TextBytes(request) <= kInlineTextBytes) {
      Begin(request, deadline);
      return;
    }
    const bool accepted = services_.tokenizer_workers.Run(
        [self = self_, &request, deadline] { self->Begin(request, deadline); });
    if (accepted) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    FinishLocked(absl::ResourceExhaustedError(
        "too many long prompts wait to be tokenised; try again later, or send token_ids"));
  }

  virtual void AdvanceLocked() = 0;

  void CancelLocked() {
    cancelled_ = true;
    if (generation_ != nullptr) generation_->Cancel();
  }

  void FinishLocked(const absl::Status& status) {
    finished_ = true;
    write_since_ = SteadyNow();
    this->Finish(ToGrpcStatus(status));
  }

  Services& services_;
  std::mutex mutex_;
  std::unique_ptr<Generation> generation_;  // null until it has started
  bool cancelled_ = false;                  // the client is gone
  bool finished_ = false;                   // Finish has been called
  std::optional<absl::Time> write_since_;   // a write, or the end, is under way

 private:
  void Begin(const v1::GenerateRequest& request, absl::Time deadline) {
    auto on_ready = [weak = this->weak_from_this(), &services = services_] {
      services.stream_workers.Run([weak] {
        if (const auto self = weak.lock()) {
          const std::lock_guard<std::mutex> lock(self->mutex_);
          self->AdvanceLocked();
        }
      });
    };
    auto made = Generation::Start(services_, request, deadline, std::move(on_ready));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!made.ok()) {
      FinishLocked(made.status());
      return;
    }
    generation_ = *std::move(made);
    if (cancelled_) generation_->Cancel();
    AdvanceLocked();
  }

  void CheckWrite(absl::Time now) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (context_ == nullptr || !write_since_) return;
    const absl::Duration limit = services_.stall_limit;
    const absl::Duration waited = now - *write_since_;
    if (waited >= limit && generation_ != nullptr && !std::exchange(stalled_, true)) {
      generation_->Fail(absl::ResourceExhaustedError(
          absl::StrCat("the client read nothing for ", absl::FormatDuration(limit),
                       " while events waited; read faster or ask for fewer")));
    }
    // The failure waits behind what the client does not read.
    if (waited >= limit + std::min(limit, kLastWordsLimit)) context_->TryCancel();
  }

  grpc::CallbackServerContext* context_;  // null once the call is done
  bool stalled_ = false;
  std::shared_ptr<GenerateReactorBase> self_;
};

class StreamReactor : public GenerateReactorBase<grpc::ServerWriteReactor<v1::GenerateEvent>> {
 public:
  StreamReactor(Services& services, grpc::CallbackServerContext& context)
      : GenerateReactorBase(services, context) {}
  using GenerateReactorBase::Start;

  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    write_since_.reset();
    if (!ok) CancelLocked();
    AdvanceLocked();
  }

 private:
  void AdvanceLocked() override {
    if (generation_ == nullptr || finished_ || write_since_) return;
    if (cancelled_) {
      FinishLocked(absl::CancelledError("the client is gone"));
      return;
    }
    // Taking only when all has been written is what stalls the sequence of a slow reader.
    if (outbox_.empty()) {
      for (v1::GenerateEvent& event : generation_->Take()) outbox_.push_back(std::move(event));
    }
    if (outbox_.empty()) {
      if (generation_->ended()) FinishLocked(generation_->status());
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

class UnaryReactor : public GenerateReactorBase<grpc::ServerUnaryReactor> {
 public:
  UnaryReactor(Services& services, grpc::CallbackServerContext& context,
               v1::GenerateResponse& response)
      : GenerateReactorBase(services, context), response_(response) {}
  using GenerateReactorBase::Start;

 private:
  void AdvanceLocked() override {
    if (generation_ == nullptr || finished_) return;
    if (cancelled_) {
      FinishLocked(absl::CancelledError("the client is gone"));
      return;
    }
    for (auto events = generation_->Take(); !events.empty(); events = generation_->Take()) {
      for (const v1::GenerateEvent& event : events) collector_.Add(event);
    }
    if (!generation_->ended()) return;
    response_ = collector_.Take();
    FinishLocked(generation_->status());
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
