#include "client/cli/graceful_end.h"

#include <utility>

namespace quire::cli {
namespace {

// For the server's answer, and then for the last event.
constexpr absl::Duration kPatience = absl::Seconds(2);

}  // namespace

GracefulEnd::GracefulEnd(const Client& client, GenerateStream& stream, std::string tenant)
    : client_(client), stream_(stream) {
  request_.set_tenant(std::move(tenant));
}

GracefulEnd::~GracefulEnd() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void GracefulEnd::SetRequestId(const std::string& request_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  request_.set_request_id(request_id);
}

void GracefulEnd::Begin() {
  thread_ = std::thread([this] { End(); });
}

void GracefulEnd::End() {
  std::unique_lock<std::mutex> lock(mutex_);
  const v1::AbortRequest request = request_;
  lock.unlock();
  if (!request.request_id().empty()) {
    const auto response = client_.Abort(request, {.timeout = kPatience});
    lock.lock();
    if (response.ok() && response->aborted() &&
        changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatience), [&] { return done_; })) {
      return;
    }
  }
  stream_.Cancel();
}

}  // namespace quire::cli
