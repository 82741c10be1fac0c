#include "server/live_requests.h"

#include "absl/strings/str_cat.h"
#include "core/steady_time.h"

namespace quire {

absl::StatusOr<std::unique_ptr<LiveRequests::Entry>> LiveRequests::Insert(
    const std::string& tenant, const std::string& request_id) {
  std::pair<std::string, std::string> name(tenant, request_id);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!live_.try_emplace(name).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("request_id \"", request_id, "\" is live already; use another, or none"));
  }
  ++entries_;
  return std::make_unique<Entry>(this, std::move(name));
}

LiveRequests::Aborted LiveRequests::Abort(const std::string& tenant,
                                          const std::string& request_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = live_.find({tenant, request_id});
  if (found == live_.end()) return {};
  found->second.aborted = true;
  return {.was_live = true, .key = found->second.key, .count = found->second.count};
}

bool LiveRequests::SetKeys(const std::pair<std::string, std::string>& name, RequestKey first,
                           int64_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  State& state = live_.find(name)->second;
  state.key = first;
  state.count = count;
  return state.aborted;
}

void LiveRequests::Remove(const std::pair<std::string, std::string>& name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  live_.erase(name);
}

void LiveRequests::Leave() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--entries_ == 0) none_.notify_all();
}

bool LiveRequests::AwaitNone(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return none_.wait_until(lock, ToSteadyClock(deadline), [&] { return entries_ == 0; });
}

}  // namespace quire
