// Which request ids are live, per tenant: for duplicates and for Abort.
#ifndef QUIRE_SERVER_LIVE_REQUESTS_H_
#define QUIRE_SERVER_LIVE_REQUESTS_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/ids.h"

namespace quire {

// Thread-safe.
class LiveRequests {
 public:
  // Holds an id until it is freed, and counts as live for as long as it lives.
  class Entry {
   public:
    Entry(LiveRequests* registry, std::pair<std::string, std::string> name)
        : registry_(registry), name_(std::move(name)) {}
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() {
      Free();
      registry_->Leave();
    }

    // The engine has taken the request. True when it was aborted before.
    bool SetKey(RequestKey key) { return SetKeys(key, 1); }
    // The same where it took several, [first, first + count).
    bool SetKeys(RequestKey first, int64_t count) {
      return registry_->SetKeys(name_, first, count);
    }
    // The id may be used again. Not thread-safe.
    void Free() {
      if (!std::exchange(freed_, true)) registry_->Remove(name_);
    }

   private:
    LiveRequests* registry_;
    std::pair<std::string, std::string> name_;
    bool freed_ = false;
  };

  // ALREADY_EXISTS when the tenant has a live request of this id.
  absl::StatusOr<std::unique_ptr<Entry>> Insert(const std::string& tenant,
                                                const std::string& request_id);

  struct Aborted {
    bool was_live = false;
    std::optional<RequestKey> key;  // unset while the engine has not taken it
    int64_t count = 0;              // keys from it on
  };
  // Whether no entry lives, waiting until then or until `deadline` (of SteadyNow).
  bool AwaitNone(absl::Time deadline);

  // Marks it aborted; the caller cancels the keys.
  Aborted Abort(const std::string& tenant, const std::string& request_id);

 private:
  struct State {
    std::optional<RequestKey> key;
    int64_t count = 0;
    bool aborted = false;
  };
  bool SetKeys(const std::pair<std::string, std::string>& name, RequestKey first, int64_t count);
  void Remove(const std::pair<std::string, std::string>& name);
  void Leave();

  std::mutex mutex_;
  std::condition_variable none_;
  int64_t entries_ = 0;  // guarded by mutex_
  // By (tenant, request id). Guarded by mutex_.
  absl::flat_hash_map<std::pair<std::string, std::string>, State> live_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_LIVE_REQUESTS_H_
