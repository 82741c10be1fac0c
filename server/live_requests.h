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
  // Holds an id for as long as it lives.
  class Entry {
   public:
    Entry(LiveRequests* registry, std::pair<std::string, std::string> name)
        : registry_(registry), name_(std::move(name)) {}
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() { registry_->Remove(name_); }

    // The engine has taken the request. True when it was aborted before.
    bool SetKey(RequestKey key) { return registry_->SetKey(name_, key); }

   private:
    LiveRequests* registry_;
    std::pair<std::string, std::string> name_;
  };

  // ALREADY_EXISTS when the tenant has a live request of this id.
  absl::StatusOr<std::unique_ptr<Entry>> Insert(const std::string& tenant,
                                                const std::string& request_id);

  struct Aborted {
    bool was_live = false;
    std::optional<RequestKey> key;  // unset while the engine has not taken it
  };
  // Whether none is live, waiting until then or until `deadline` (of SteadyNow).
  bool AwaitNone(absl::Time deadline);

  // Marks it aborted; the caller cancels `key`.
  Aborted Abort(const std::string& tenant, const std::string& request_id);

 private:
  struct State {
    std::optional<RequestKey> key;
    bool aborted = false;
  };
  bool SetKey(const std::pair<std::string, std::string>& name, RequestKey key);
  void Remove(const std::pair<std::string, std::string>& name);

  std::mutex mutex_;
  std::condition_variable removed_;
  // By (tenant, request id). Guarded by mutex_.
  absl::flat_hash_map<std::pair<std::string, std::string>, State> live_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_LIVE_REQUESTS_H_
