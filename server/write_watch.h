// Looks at every watched call now and then: a write that gets nowhere calls nobody back.
#ifndef QUIRE_SERVER_WRITE_WATCH_H_
#define QUIRE_SERVER_WRITE_WATCH_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace quire {

// Thread-safe. Sleeps while nothing is watched.
class WriteWatch {
 public:
  class Writer {
   public:
    virtual ~Writer() = default;
    // Called on the watch's thread; must not block.
    virtual void CheckWrite(absl::Time now) = 0;
  };

  explicit WriteWatch(absl::Duration interval);
  WriteWatch(const WriteWatch&) = delete;
  WriteWatch& operator=(const WriteWatch&) = delete;
  ~WriteWatch();

  // Watches for as long as the writer lives.
  void Add(std::weak_ptr<Writer> writer);

 private:
  void Watch();

  const absl::Duration interval_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::weak_ptr<Writer>> writers_;  // guarded by mutex_
  bool stopping_ = false;                       // guarded by mutex_
  std::thread thread_;                          // last: starts when the rest is there
};

}  // namespace quire

#endif  // QUIRE_SERVER_WRITE_WATCH_H_
