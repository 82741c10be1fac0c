// Ids whose types keep them apart.
#ifndef QUIRE_CORE_IDS_H_
#define QUIRE_CORE_IDS_H_

#include <compare>
#include <cstdint>
#include <ostream>

#include "absl/hash/hash.h"

namespace quire {

// Tokens are the field's plain integers; a valid id is in [0, vocabulary size).
using TokenId = int32_t;
inline constexpr TokenId kNoToken = -1;

template <typename Tag, typename Int>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Int value) : value_(value) {}
  constexpr Int value() const { return value_; }
  constexpr auto operator<=>(const StrongId&) const = default;
  constexpr Int operator+() const { return value_; }  // for printing
  template <typename H>
  friend H AbslHashValue(H h, const StrongId& id) {
    return H::combine(std::move(h), id.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, const StrongId& id) {
    return out << id.value_;
  }

 private:
  Int value_ = -1;
};

// A page of one KV group's pool, in [0, num_blocks).
using BlockId = StrongId<struct BlockTag, int32_t>;
// One token's place in a pool: block * block_tokens + offset.
using SlotId = StrongId<struct SlotTag, int64_t>;
// One live request of the engine; never reused within a process.
using RequestKey = StrongId<struct RequestTag, int64_t>;
// One plan of the scheduler, counted up from 0.
using PlanId = StrongId<struct PlanTag, int64_t>;

}  // namespace quire

#endif  // QUIRE_CORE_IDS_H_
