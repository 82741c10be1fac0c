// Sends requests as a benchmark wants them sent, and records what comes back.
#ifndef QUIRE_CLIENT_BENCH_LOAD_GENERATOR_H_
#define QUIRE_CLIENT_BENCH_LOAD_GENERATOR_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/bench/request_record.h"
#include "client/bench/stream_call.h"
#include "client/channel.h"
#include "quire/v1/generation.pb.h"

namespace quire::bench {

struct LoadOptions {
  // Open loop: when each request arrives, in seconds since the start, not decreasing. Empty is the
  // closed loop: each arrives as soon as there is room for it.
  std::vector<double> arrivals_s;
  int max_concurrency = 0;                            // requests under way at once; 0 = no limit
  absl::Duration timeout = absl::InfiniteDuration();  // of each request
  // Called now and then, and at the end, by the thread that runs the load.
  std::function<void(int done, int running)> progress;
};

// Thread-safe for Cancel only.
class LoadGenerator : private StreamCall::Owner {
 public:
  // Requests go to the connections in turn; they outlive the generator.
  explicit LoadGenerator(std::vector<const Connection*> connections)
      : connections_(std::move(connections)) {}

  // Sends them in order and waits for all of them. A record for each that was sent, in this order:
  // for all unless Cancel came.
  std::vector<RequestRecord> Run(const std::vector<v1::GenerateRequest>& requests,
                                 const LoadOptions& options);

  // Ends what is under way and sends no more, now and in later runs. From any thread.
  void Cancel();

 private:
  // Waits until the request's time has come and there is room for it. False once cancelled.
  bool AwaitTurn(size_t index, const LoadOptions& options, std::unique_lock<std::mutex>& lock);
  // Waits until the condition holds or the time has come.
  template <typename Condition>
  void Await(Clock::time_point until, const LoadOptions& options,
             std::unique_lock<std::mutex>& lock, Condition condition);
  void OnCallDone(StreamCall& call) override;

  const std::vector<const Connection*> connections_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::condition_variable changed_;
  Clock::time_point start_;                                          // of the run
  std::unordered_map<size_t, std::unique_ptr<StreamCall>> running_;  // by index of the request
  int num_running_ = 0;  // and those that are being destroyed
  std::vector<RequestRecord> records_;
  int num_done_ = 0;
  Clock::time_point next_progress_;
  bool cancelled_ = false;
};

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_LOAD_GENERATOR_H_
