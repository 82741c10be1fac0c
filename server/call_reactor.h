// The reactor of a call that the engine runs: nothing in it blocks.
#ifndef QUIRE_SERVER_CALL_REACTOR_H_
#define QUIRE_SERVER_CALL_REACTOR_H_

#include <grpcpp/server_context.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/steady_time.h"
#include "server/grpc_status.h"
#include "server/limits.h"
#include "server/services.h"

namespace quire {

// How long the client of a stalled call has to start reading again and hear why it failed.
inline constexpr absl::Duration kLastWordsLimit = absl::Seconds(5);

inline absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : SteadyTimeOf(absl::FromChrono(deadline));
}

// What the calls that the engine runs share: the start, off gRPC's threads where the text is long;
// the wish to go on whenever results wait; and the end of the client. `Reactor` gives
// Finish(grpc::Status); `Job` is Generation or EmbedJob.
//
// Lives as long as gRPC (self_) or a task of a worker needs it. Everything else is guarded by
// mutex_; AdvanceLocked does what can be done now. What has been handed to gRPC
// and is not done is watched: where the client reads nothing the request fails, and soon the call
// too.
template <typename Reactor, typename Job>
class CallReactor : public Reactor,
                    public WriteWatch::Writer,
                    public std::enable_shared_from_this<CallReactor<Reactor, Job>> {
 public:
  void OnDone() override {
    std::shared_ptr<CallReactor> last;
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
  CallReactor(Services& services, grpc::CallbackServerContext& context)
      : services_(services), context_(&context) {}

  // `request` lives until the call is done.
  void Start(const typename Job::Wire& request) {
    self_ = this->shared_from_this();
    services_.write_watch.Add(self_);
    const absl::Time deadline = DeadlineOf(*context_);
    if (Job::TextBytes(request) <= kInlineTextBytes) {
      Begin(request, deadline);
      return;
    }
    const bool accepted = services_.tokenizer_workers.Run(
        [self = self_, &request, deadline] { self->Begin(request, deadline); });
    if (accepted) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    FinishLocked(absl::ResourceExhaustedError(
        "too many long texts wait to be tokenised; try again later, or send token_ids"));
  }

  // Does what can be done now; nothing is under way and the client is there.
  virtual void ContinueLocked() = 0;

  void AdvanceLocked() {
    if (job_ == nullptr || finished_ || write_since_) return;
    if (cancelled_) {
      FinishLocked(absl::CancelledError("the client is gone"));
      return;
    }
    ContinueLocked();
  }

  void CancelLocked() {
    cancelled_ = true;
    if (job_ != nullptr) job_->Cancel();
  }

  void FinishLocked(const absl::Status& status) {
    finished_ = true;
    write_since_ = SteadyNow();
    this->Finish(ToGrpcStatus(status));
  }

  Services& services_;
  std::mutex mutex_;
  std::unique_ptr<Job> job_;               // null until it has started
  bool cancelled_ = false;                 // the client is gone
  bool finished_ = false;                  // Finish has been called
  std::optional<absl::Time> write_since_;  // a write, or the end, is under way

 private:
  void Begin(const typename Job::Wire& request, absl::Time deadline) {
    auto on_ready = [weak = this->weak_from_this(), &services = services_] {
      services.stream_workers.Run([weak] {
        if (const auto self = weak.lock()) {
          const std::lock_guard<std::mutex> lock(self->mutex_);
          self->AdvanceLocked();
        }
      });
    };
    auto made = Job::Start(services_, request, deadline, std::move(on_ready));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!made.ok()) {
      FinishLocked(made.status());
      return;
    }
    job_ = *std::move(made);
    if (cancelled_) job_->Cancel();
    AdvanceLocked();
  }

  void CheckWrite(absl::Time now) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (context_ == nullptr || !write_since_) return;
    const absl::Duration limit = services_.stall_limit;
    const absl::Duration waited = now - *write_since_;
    if (waited >= limit && job_ != nullptr && !std::exchange(stalled_, true)) {
      job_->Fail(absl::ResourceExhaustedError(
          absl::StrCat("the client read nothing for ", absl::FormatDuration(limit),
                       " while events waited; read faster or ask for fewer")));
    }
    // The failure waits behind what the client does not read.
    if (waited >= limit + std::min(limit, kLastWordsLimit)) context_->TryCancel();
  }

  grpc::CallbackServerContext* context_;  // null once the call is done
  bool stalled_ = false;
  std::shared_ptr<CallReactor> self_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_CALL_REACTOR_H_
