// A few threads that run short tasks in the order in which they came.
#ifndef QUIRE_SERVER_WORKER_POOL_H_
#define QUIRE_SERVER_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace quire {

// Thread-safe.
class WorkerPool {
 public:
  // At most max_waiting tasks wait at a time (0: no bound).
  explicit WorkerPool(int num_threads, size_t max_waiting = 0);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();

  // False when max_waiting tasks wait already, or the pool has stopped.
  bool Run(std::function<void()> task);

  // Waits until every task that was accepted has run; none is accepted from then on.
  void Stop();

 private:
  void Work();

  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;  // guarded by mutex_
  bool stopping_ = false;                      // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_WORKER_POOL_H_
