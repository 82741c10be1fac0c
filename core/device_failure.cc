#include "core/device_failure.h"

#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <utility>

namespace quire {
namespace {

struct Shared {
  std::mutex mutex;  // of the handler
  std::function<void(const std::string&)> handler;
  std::recursive_mutex end;  // a handler may meet the next failure on its own thread
  bool handled = false;      // guarded by `end`
};

Shared& GetShared() {
  static auto* shared = new Shared;
  return *shared;
}

}  // namespace

void SetDeviceFailureHandler(std::function<void(const std::string& line)> handler) {
  const std::lock_guard<std::mutex> lock(GetShared().mutex);
  GetShared().handler = std::move(handler);
}

void EndAfterDeviceFailure(const std::string& line) {
  Shared& shared = GetShared();
  const std::lock_guard<std::recursive_mutex> lock(shared.end);
  if (!std::exchange(shared.handled, true)) {
    std::fprintf(stderr, "%s\n", line.c_str());
    std::function<void(const std::string&)> handler;
    {
      const std::lock_guard<std::mutex> handler_lock(shared.mutex);
      handler = shared.handler;
    }
    if (handler) handler(line);
  }
  std::fflush(nullptr);
  ::_exit(kDeviceFailureExitCode);
}

}  // namespace quire
