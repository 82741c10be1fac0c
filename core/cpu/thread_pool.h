// The compute threads of the CPU backend: fork/join over numbered tasks.
#ifndef QUIRE_CORE_CPU_THREAD_POOL_H_
#define QUIRE_CORE_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace quire {

// Thread-safe: calls from several threads take turns. A body must not call its own pool.
class ThreadPool {
 public:
  // `task` in [0, num_tasks); `thread` in [0, num_threads), 0 being the caller. At any moment at
  // most one task runs under a thread number, so it can index scratch memory.
  using Body = absl::FunctionRef<void(int64_t task, int thread)>;

  // The caller of ParallelFor is one of the threads, so num_threads - 1 are started.
  explicit ThreadPool(int num_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs body once for each task, dealing tasks in ascending order to whoever is free, and returns
  // when all have ended. What the caller wrote before is visible to the tasks, and what they wrote
  // to the caller after. Allocates nothing.
  void ParallelFor(int64_t num_tasks, Body body);

 private:
  void Work(int thread);
  void RunTasks(Body body, int64_t num_tasks, int thread);
  bool Join();
  void Leave();
  void CloseAndAwaitEmpty();

  std::mutex turn_;  // held by the thread whose job runs

  // The job: written by its caller while the gate is shut and empty, read by those inside.
  const Body* body_ = nullptr;
  int64_t num_tasks_ = 0;

  // Own cache lines: every thread of a job hammers next_task_.
  alignas(64) std::atomic<int64_t> next_task_{0};
  // The gate of the current job: kOpen or 0, plus the number of workers inside. A worker that comes
  // late finds the gate shut and goes back to wait, so a caller waits only for workers that joined
  // in, never for one that the system has not scheduled yet.
  alignas(64) std::atomic<uint32_t> gate_{0};
  // Counts the jobs; workers sleep on it.
  alignas(64) std::atomic<uint32_t> jobs_{0};
  std::atomic<bool> stop_{false};

  std::vector<std::thread> workers_;
};

}  // namespace quire

#endif  // QUIRE_CORE_CPU_THREAD_POOL_H_
