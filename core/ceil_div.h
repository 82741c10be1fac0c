#ifndef QUIRE_CORE_CEIL_DIV_H_
#define QUIRE_CORE_CEIL_DIV_H_

#include <cstdint>

namespace quire {

// a / b rounded up, for a >= 0 and b > 0.
constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace quire

#endif  // QUIRE_CORE_CEIL_DIV_H_
