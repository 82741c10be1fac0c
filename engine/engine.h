// The engine: one thread that owns the scheduler, the cache's bookkeeping and the executor, and a
// face that any thread may call.
//
// One step, in this order: Admit (what other threads asked for) -> Plan -> Build -> Forward and
// Sample (the executor) -> Commit -> Emit (events to their streams).
#ifndef QUIRE_ENGINE_ENGINE_H_
#define QUIRE_ENGINE_ENGINE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/batch_builder.h"
#include "engine/executor.h"
#include "engine/token_stream.h"
#include "kvcache/kv_manager.h"
#include "scheduler/scheduler.h"

namespace quire {

struct EngineConfig {
  SchedulerConfig scheduler;
  KvManagerConfig kv;
  int64_t max_queue = 1024;  // requests that wait for a slot
  RequestRope rope;          // of requests, until SetRope
  RopeRowLayout rope_rows;
  int position_offset = 0;  // see BatchBuilder
};

struct KvGroupStats {
  int32_t num_blocks = 0;
  int32_t free = 0;
  int32_t cached = 0;
  int32_t referenced = 0;
};

// A snapshot after the latest step.
struct EngineStats {
  SchedulerStats scheduler;
  std::vector<KvGroupStats> kv;
  int64_t steps = 0;
  absl::Duration last_step;  // from its plan to its events
};

// Thread-safe. Outlives the readers of its streams.
class Engine {
 public:
  Engine(const EngineConfig& config, std::unique_ptr<Executor> executor);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Ends what still lives with UNAVAILABLE.
  ~Engine();

  struct Submission {
    RequestKey key;
    std::shared_ptr<TokenStream> stream;
  };
  // Queues a request. OUT_OF_RANGE when it can never fit, RESOURCE_EXHAUSTED when max_queue wait
  // beside those that the free slots will take, UNAVAILABLE when draining. on_ready: see
  // TokenStream.
  absl::StatusOr<Submission> Submit(std::shared_ptr<const Request> request,
                                    std::function<void()> on_ready);

  struct BatchSubmission {
    RequestKey first_key;  // the others follow it, in order
    std::shared_ptr<TokenStream> stream;
  };
  // Several requests, all or none, whose events come through one stream. As a queue that has room
  // for one takes them all, so that no number of them is refused for ever.
  absl::StatusOr<BatchSubmission> SubmitBatch(
      const std::vector<std::shared_ptr<const Request>>& requests, std::function<void()> on_ready);

  // These take effect at the next step; for a request that has ended, not at all.
  void Cancel(RequestKey key);
  void Fail(RequestKey key, const absl::Status& status);
  void FinishAt(RequestKey key, int sequence_index, int64_t num_tokens);

  // Answers on the engine thread; `done` must not block. Never called if the engine has stopped:
  // then this returns UNAVAILABLE.
  absl::Status Estimate(std::shared_ptr<const Request> request,
                        std::function<void(const FitReport&)> done);

  // OUT_OF_RANGE with the numbers, as Submit gives it.
  absl::Status CheckFits(const Request& request) const { return scheduler_.CheckFits(request); }
  int64_t capacity_tokens() const { return scheduler_.capacity_tokens(); }
  const EngineConfig& config() const { return config_; }
  EngineStats stats() const;

  // The rotation of requests that come from now on; those that live keep theirs.
  void SetRope(const RequestRope& rope);
  RequestRope rope() const;

  // From now on Submit gives UNAVAILABLE; live requests go on.
  void BeginDrain();
  // Ends every live request with `status`.
  void EndAll(const absl::Status& status);
  // For a device that is lost: ends every live request with `status` here and now, and takes no new
  // one. On the engine's thread, within its executor, which never returns; on another nothing
  // happens.
  void Abandon(const absl::Status& status);
  // Whether no request lives, waiting until then or until `deadline` (of SteadyNow).
  bool AwaitIdle(absl::Time deadline);

 private:
  using Command = std::function<void()>;  // run on the engine thread

  bool Post(Command command);
  void Run();
  void FailAll(const absl::Status& status);
  void Admit();
  bool Step();
  void CommitOldest();
  void Emit();
  void PublishQueue();
  void Publish(absl::Duration step_time);
  void AwaitWork();

  const EngineConfig config_;
  KvManager kv_;
  Scheduler scheduler_;
  BatchBuilder builder_;
  std::unique_ptr<Executor> executor_;

  // Engine thread only.
  struct LiveStream {
    std::shared_ptr<TokenStream> stream;
    int unfinished = 0;  // sequences
  };
  absl::flat_hash_map<RequestKey, LiveStream> streams_;
  std::deque<StepPlan> outstanding_;
  int64_t steps_ = 0;
  std::vector<Command> admitting_;
  std::vector<TokenEvent> events_;  // scratch of Emit

  mutable std::mutex mutex_;
  std::condition_variable work_;   // commands_ or stopping_ changed
  std::condition_variable idle_;   // live_requests_ became 0
  std::vector<Command> commands_;  // guarded by mutex_, as is all below
  int64_t next_key_ = 0;
  int64_t unread_submissions_ = 0;  // in commands_
  int64_t waiting_requests_ = 0;    // in the scheduler's queue, never admitted
  int64_t free_slots_ = 0;          // after the latest plan
  int64_t live_requests_ = 0;
  RequestRope rope_;
  bool draining_ = false;
  bool stopping_ = false;
  EngineStats stats_;

  std::thread thread_;  // last: starts when the rest is there
};

}  // namespace quire

#endif  // QUIRE_ENGINE_ENGINE_H_
