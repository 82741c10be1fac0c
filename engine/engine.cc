#include "engine/engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "core/steady_time.h"

namespace quire {
namespace {

#ifdef NDEBUG
constexpr bool kChecksEveryStep = false;
#else
constexpr bool kChecksEveryStep = true;
#endif

}  // namespace

Engine::Engine(const EngineConfig& config, std::unique_ptr<Executor> executor)
    : config_(config),
      kv_(config.kv),
      scheduler_(config.scheduler, &kv_),
      builder_(kv_, config.scheduler.pipeline_depth, config.rope_rows, config.position_offset),
      executor_(std::move(executor)),
      rope_(config.rope) {
  PublishQueue();
  Publish(absl::ZeroDuration());
  thread_ = std::thread([this] { Run(); });
}

Engine::~Engine() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    draining_ = true;
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void Engine::Run() {
  while (true) {
    Admit();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) break;
    }
    if (!Step()) AwaitWork();
  }
  Admit();  // what came in before stopping_ was set
  while (!outstanding_.empty()) CommitOldest();
  FailAll(absl::UnavailableError("the server is shutting down"));
  Emit();
}

void Engine::FailAll(const absl::Status& status) {
  const absl::Time now = SteadyNow();
  for (const auto& [key, stream] : streams_) scheduler_.Fail(key, status, now);
}

void Engine::EndAll(const absl::Status& status) {
  Post([this, status] { FailAll(status); });
}

// One step. False when there was nothing to do.
bool Engine::Step() {
  const absl::Time start = SteadyNow();
  StepPlan plan = scheduler_.Plan(start);
  const bool planned = !plan.empty();
  PublishQueue();
  if (planned) {
    executor_->Submit(builder_.Build(plan));
    outstanding_.push_back(std::move(plan));
    ++steps_;
  }
  const bool full = static_cast<int>(outstanding_.size()) == config_.scheduler.pipeline_depth;
  const bool commits = !outstanding_.empty() && (full || !planned);
  if (commits) CommitOldest();
  Publish(SteadyNow() - start);  // first, so that whoever reads a last event finds its blocks free
  Emit();
  if (kChecksEveryStep) scheduler_.CheckInvariants();
  Publish(SteadyNow() - start);
  return planned || commits;
}

void Engine::CommitOldest() {
  const StepResult& result = executor_->Wait();
  StepPlan plan = std::move(outstanding_.front());
  outstanding_.pop_front();
  scheduler_.Commit(std::move(plan), result, SteadyNow());
}

// Hands every event to its stream, and forgets streams that have had their last.
void Engine::Emit() {
  scheduler_.TakeEvents(events_);
  for (TokenEvent& event : events_) {
    const RequestKey key = event.request;
    const auto found = streams_.find(key);
    QUIRE_CHECK(found != streams_.end()) << "request " << key;
    if (event.finish) --found->second.unfinished;
    const bool ends = found->second.unfinished == 0;
    const std::shared_ptr<TokenStream> stream = found->second.stream;
    if (ends) streams_.erase(found);
    if (stream->Push(std::move(event)) && !ends) scheduler_.Pause(key, SteadyNow());
  }
}

// The queue has room as soon as a plan admits, not only when its step is done.
void Engine::PublishQueue() {
  const std::lock_guard<std::mutex> lock(mutex_);
  waiting_requests_ = scheduler_.num_queued();
  free_slots_ = scheduler_.num_free_slots();
}

void Engine::Publish(absl::Duration step_time) {
  const SchedulerStats scheduler = scheduler_.stats();
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.scheduler = scheduler;
  stats_.kv.resize(kv_.num_groups());
  for (int group = 0; group < kv_.num_groups(); ++group) {
    const BlockPool& pool = kv_.pool(group);
    stats_.kv[group] = {.num_blocks = pool.num_blocks(),
                        .free = pool.num_free(),
                        .cached = pool.num_cached(),
                        .referenced = pool.num_referenced()};
  }
  stats_.steps = steps_;
  stats_.last_step = step_time;
  live_requests_ = static_cast<int64_t>(streams_.size());
  if (live_requests_ == 0 && unread_submissions_ == 0) idle_.notify_all();
}

void Engine::AwaitWork() {
  const absl::Time expiry = scheduler_.NextExpiry();
  std::unique_lock<std::mutex> lock(mutex_);
  const auto has_work = [&] { return !commands_.empty() || stopping_; };
  if (expiry == absl::InfiniteFuture()) {
    work_.wait(lock, has_work);
  } else {
    work_.wait_until(lock, ToSteadyClock(expiry), has_work);
  }
}

void Engine::Admit() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    admitting_.swap(commands_);
  }
  for (const Command& command : admitting_) command();
  admitting_.clear();
}

bool Engine::Post(Command command) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return false;
    commands_.push_back(std::move(command));
  }
  work_.notify_one();
  return true;
}

absl::StatusOr<Engine::Submission> Engine::Submit(std::shared_ptr<const Request> request,
                                                  std::function<void()> on_ready) {
  QUIRE_ASSIGN_OR_RETURN(BatchSubmission made,
                         SubmitBatch({std::move(request)}, std::move(on_ready)));
  return Submission{.key = made.first_key, .stream = std::move(made.stream)};
}

absl::StatusOr<Engine::BatchSubmission> Engine::SubmitBatch(
    const std::vector<std::shared_ptr<const Request>>& requests, std::function<void()> on_ready) {
  for (const auto& request : requests) QUIRE_RETURN_IF_ERROR(CheckFits(*request));
  const auto count = static_cast<int64_t>(requests.size());
  BatchSubmission made;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (draining_) return absl::UnavailableError("the server is draining; try another one");
    // The next plan takes what the free slots hold: that does not wait.
    const int64_t queued = unread_submissions_ + waiting_requests_ - free_slots_;
    if (queued >= config_.max_queue) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the queue is full: ", queued, " requests wait, the limit is ",
                       config_.max_queue, " (--max-queue); try again later"));
    }
    const int64_t first = next_key_;
    next_key_ += count;
    made.first_key = RequestKey(first);
    made.stream = std::make_shared<TokenStream>(std::move(on_ready), [this, first, count] {
      Post([this, first, count] {
        for (int64_t i = 0; i < count; ++i) scheduler_.Resume(RequestKey(first + i));
      });
    });
    unread_submissions_ += count;
    commands_.push_back([this, first, count, requests, stream = made.stream, rope = rope_] {
      const absl::Time now = SteadyNow();
      for (int64_t i = 0; i < count; ++i) {
        const RequestKey key(first + i);
        streams_.emplace(key,
                         LiveStream{.stream = stream, .unfinished = requests[i]->num_sequences});
        scheduler_.Add(key, requests[i], now, rope);
      }
      const std::lock_guard<std::mutex> relock(mutex_);
      unread_submissions_ -= count;
      waiting_requests_ += count;
      live_requests_ += count;
    });
  }
  work_.notify_one();
  return made;
}

void Engine::Cancel(RequestKey key) {
  Post([this, key] { scheduler_.Cancel(key, SteadyNow()); });
}

void Engine::Fail(RequestKey key, const absl::Status& status) {
  Post([=, this] { scheduler_.Fail(key, status, SteadyNow()); });
}

void Engine::FinishAt(RequestKey key, int sequence_index, int64_t num_tokens) {
  Post([=, this] { scheduler_.FinishAt(key, sequence_index, num_tokens, SteadyNow()); });
}

absl::Status Engine::Estimate(std::shared_ptr<const Request> request,
                              std::function<void(const FitReport&)> done) {
  const bool posted = Post([this, request = std::move(request), done = std::move(done)] {
    done(scheduler_.Estimate(*request, rope()));
  });
  return posted ? absl::OkStatus() : absl::UnavailableError("the server is shutting down");
}

EngineStats Engine::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

void Engine::SetRope(const RequestRope& rope) {
  const std::lock_guard<std::mutex> lock(mutex_);
  rope_ = rope;
}

RequestRope Engine::rope() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return rope_;
}

void Engine::BeginDrain() {
  const std::lock_guard<std::mutex> lock(mutex_);
  draining_ = true;
}

void Engine::Abandon(const absl::Status& status) {
  if (std::this_thread::get_id() != thread_.get_id()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    draining_ = true;
    stopping_ = true;
  }
  Admit();
  FailAll(status);
  Emit();
}

bool Engine::AwaitIdle(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto is_idle = [&] { return live_requests_ == 0 && unread_submissions_ == 0; };
  if (deadline == absl::InfiniteFuture()) {
    idle_.wait(lock, is_idle);
    return true;
  }
  return idle_.wait_until(lock, ToSteadyClock(deadline), is_idle);
}

}  // namespace quire
