#include "client/bench/load_generator.h"

#include <algorithm>
#include <utility>

namespace quire::bench {
namespace {

constexpr auto kProgressPeriod = std::chrono::milliseconds(500);

Clock::time_point After(Clock::time_point start, double seconds) {
  return start +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

std::vector<RequestRecord> LoadGenerator::Run(const std::vector<v1::GenerateRequest>& requests,
                                              const LoadOptions& options) {
  std::unique_lock<std::mutex> lock(mutex_);
  records_.assign(requests.size(), {});
  num_done_ = 0;
  start_ = Clock::now();
  StreamCall::Owner& owner = *this;
  size_t num_sent = 0;
  while (num_sent < requests.size() && AwaitTurn(num_sent, options, lock)) {
    const size_t index = num_sent++;
    const auto& call = running_[index] = std::make_unique<StreamCall>(
        owner, index, *connections_[index % connections_.size()], start_,
        options.arrivals_s.empty() ? -1 : options.arrivals_s[index]);
    ++num_running_;
    // Under the lock, so that Cancel never finds a call that has not started.
    call->Start(requests[index], options.timeout);
  }
  Await(Clock::time_point::max(), options, lock, [&] { return num_running_ == 0; });
  if (options.progress) options.progress(num_done_, 0);
  records_.resize(num_sent);
  return std::move(records_);
}

void LoadGenerator::Cancel() {
  const std::lock_guard<std::mutex> lock(mutex_);
  cancelled_ = true;
  for (const auto& [index, call] : running_) call->Cancel();
  changed_.notify_all();
}

bool LoadGenerator::AwaitTurn(size_t index, const LoadOptions& options,
                              std::unique_lock<std::mutex>& lock) {
  if (!options.arrivals_s.empty()) {
    Await(After(start_, options.arrivals_s[index]), options, lock, [&] { return cancelled_; });
  }
  Await(Clock::time_point::max(), options, lock, [&] {
    return cancelled_ || options.max_concurrency == 0 || num_running_ < options.max_concurrency;
  });
  return !cancelled_;
}

template <typename Condition>
void LoadGenerator::Await(Clock::time_point until, const LoadOptions& options,
                          std::unique_lock<std::mutex>& lock, Condition condition) {
  while (!condition() && Clock::now() < until) {
    changed_.wait_until(lock, std::min(until, Clock::now() + kProgressPeriod), condition);
    if (!options.progress || Clock::now() < next_progress_) continue;
    next_progress_ = Clock::now() + kProgressPeriod;
    // The events of running calls must not wait for a slow terminal.
    const int num_done = num_done_;
    const int num_running = num_running_;
    lock.unlock();
    options.progress(num_done, num_running);
    lock.lock();
  }
}

void LoadGenerator::OnCallDone(StreamCall& call) {
  std::unique_lock<std::mutex> lock(mutex_);
  records_[call.index()] = std::move(call.record());
  const auto found = running_.find(call.index());
  std::unique_ptr<StreamCall> last = std::move(found->second);
  running_.erase(found);
  lock.unlock();
  last.reset();
  lock.lock();
  ++num_done_;
  --num_running_;
  changed_.notify_all();  // under the lock: Run may return, and this object go, once it is free
}

}  // namespace quire::bench
