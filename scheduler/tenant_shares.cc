#include "scheduler/tenant_shares.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace quire {

void TenantShares::Enter(absl::string_view tenant) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [name, other] : tenants_) {
    if (other.live_requests > 0) least = std::min(least, other.served);
  }
  const auto [entry, is_new] = tenants_.try_emplace(std::string(tenant));
  Tenant& entered = entry->second;
  if (entered.live_requests++ > 0) return;
  if (!is_new) --num_idle_;
  if (least != std::numeric_limits<int64_t>::max()) {
    entered.served = std::max(entered.served, least);
  }
}

void TenantShares::Leave(absl::string_view tenant) {
  const auto entry = tenants_.find(tenant);
  QUIRE_CHECK(entry != tenants_.end()) << std::string(tenant);
  QUIRE_CHECK_GT(entry->second.live_requests, 0);
  if (--entry->second.live_requests > 0) return;
  if (++num_idle_ > kMaxIdle) ForgetIdle();
}

void TenantShares::ForgetIdle() {
  auto least = tenants_.end();
  for (auto entry = tenants_.begin(); entry != tenants_.end(); ++entry) {
    if (entry->second.live_requests > 0) continue;
    if (least == tenants_.end() || entry->second.served < least->second.served) least = entry;
  }
  tenants_.erase(least);
  --num_idle_;
}

void TenantShares::Charge(absl::string_view tenant, int64_t cost) {
  tenants_.find(tenant)->second.served += cost;
}

int64_t TenantShares::Served(absl::string_view tenant) const {
  const auto entry = tenants_.find(tenant);
  return entry == tenants_.end() ? 0 : entry->second.served;
}

}  // namespace quire
