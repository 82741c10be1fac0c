// How much service each tenant has had: between tenants of equal priority the one with the least
// goes first (virtual token counter; Sheng et al., "Fairness in Serving Large Language Models",
// 2024). A tenant that comes back from idleness is lifted to the least of those at work, so that
// idleness earns no credit. Bounded: idle tenants beyond kMaxIdle are forgotten, least served
// first.
#ifndef QUIRE_SCHEDULER_TENANT_SHARES_H_
#define QUIRE_SCHEDULER_TENANT_SHARES_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace quire {

class TenantShares {
 public:
  static constexpr size_t kMaxIdle = 1024;
  static constexpr int64_t kPromptTokenCost = 1;
  static constexpr int64_t kOutputTokenCost = 2;

  // A request of the tenant arrived / ended.
  void Enter(absl::string_view tenant);
  void Leave(absl::string_view tenant);

  void Charge(absl::string_view tenant, int64_t cost);
  int64_t Served(absl::string_view tenant) const;
  size_t num_tenants() const { return tenants_.size(); }

 private:
  struct Tenant {
    int64_t served = 0;
    int64_t live_requests = 0;
  };
  void ForgetIdle();

  absl::flat_hash_map<std::string, Tenant> tenants_;
  size_t num_idle_ = 0;
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_TENANT_SHARES_H_
