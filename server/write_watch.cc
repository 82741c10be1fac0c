#include "server/write_watch.h"

#include <utility>

#include "core/steady_time.h"

namespace quire {

WriteWatch::WriteWatch(absl::Duration interval)
    : interval_(interval), thread_([this] { Watch(); }) {}

WriteWatch::~WriteWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WriteWatch::Add(std::weak_ptr<Writer> writer) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    writers_.push_back(std::move(writer));
  }
  changed_.notify_all();
}

void WriteWatch::Watch() {
  std::vector<std::shared_ptr<Writer>> alive;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !writers_.empty(); });
    changed_.wait_for(lock, absl::ToChronoNanoseconds(interval_), [&] { return stopping_; });
    if (stopping_) return;
    std::erase_if(writers_, [&](const std::weak_ptr<Writer>& writer) {
      std::shared_ptr<Writer> locked = writer.lock();
      if (locked == nullptr) return true;
      alive.push_back(std::move(locked));
      return false;
    });
    lock.unlock();  // a writer may go with the last reference, here
    const absl::Time now = SteadyNow();
    for (const std::shared_ptr<Writer>& writer : alive) writer->CheckWrite(now);
    alive.clear();
    lock.lock();
  }
}

}  // namespace quire
