#include "scheduler/tenant_shares.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace quire {

TenantShares::Tenant* TenantShares::Enter(absl::string_view tenant) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [name, other] : tenants_) {
    if (other.live_requests_ > 0) least = std::min(least, other.served_);
  }
  const auto [entry, is_new] = tenants_.try_emplace(std::string(tenant));
  Tenant& entered = entry->second;
  if (entered.live_requests_++ > 0) return &entered;
  if (!is_new) --num_idle_;
  if (least != std::numeric_limits<int64_t>::max()) {
    entered.served_ = std::max(entered.served_, least);
  }
  return &entered;
}

void TenantShares::Leave(Tenant* tenant) {
  QUIRE_CHECK_GT(tenant->live_requests_, 0);
  if (--tenant->live_requests_ > 0) return;
  if (++num_idle_ > kMaxIdle) ForgetIdle();
}

void TenantShares::ForgetIdle() {
  auto least = tenants_.end();
  for (auto entry = tenants_.begin(); entry != tenants_.end(); ++entry) {
    if (entry->second.live_requests_ > 0) continue;
    if (least == tenants_.end() || entry->second.served_ < least->second.served_) least = entry;
  }
  tenants_.erase(least);
  --num_idle_;
}

}  // namespace quire
