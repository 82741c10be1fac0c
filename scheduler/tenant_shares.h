// How much service each tenant has had: between tenants of equal priority the one with the least
// goes first (virtual token counter; Sheng et al., "Fairness in Serving Large Language Models",
// 2024). A tenant that comes back from idleness is lifted to the least of those at work, so that
// idleness earns no credit. Bounded: idle tenants beyond kMaxIdle are forgotten, least served
// first.
#ifndef QUIRE_SCHEDULER_TENANT_SHARES_H_
#define QUIRE_SCHEDULER_TENANT_SHARES_H_

#include <cstdint>
#include <string>

#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"

namespace quire {

class TenantShares {
 public:
  static constexpr size_t kMaxIdle = 1024;
  static constexpr int64_t kPromptTokenCost = 1;
  static constexpr int64_t kOutputTokenCost = 2;

  class Tenant {
   public:
    void Charge(int64_t cost) { served_ += cost; }
    int64_t served() const { return served_; }

   private:
    friend class TenantShares;
    int64_t served_ = 0;
    int64_t live_requests_ = 0;
  };

  // A request of the tenant arrived. The tenant stays at its address while it has live requests.
  Tenant* Enter(absl::string_view tenant);
  // One of its requests ended.
  void Leave(Tenant* tenant);

  size_t num_tenants() const { return tenants_.size(); }

 private:
  void ForgetIdle();

  absl::node_hash_map<std::string, Tenant> tenants_;
  size_t num_idle_ = 0;
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_TENANT_SHARES_H_
