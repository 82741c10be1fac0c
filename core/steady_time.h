// Time that never jumps.
#ifndef QUIRE_CORE_STEADY_TIME_H_
#define QUIRE_CORE_STEADY_TIME_H_

#include <chrono>

#include "absl/time/time.h"

namespace quire {

// The wall clock of the process's start, advanced by the steady clock: limits and durations hold
// while somebody sets the wall clock.
absl::Time SteadyNow();

// A point of the wall clock (a client's deadline) on that scale.
absl::Time SteadyTimeOf(absl::Time wall);

// A point of that scale for condition variables.
std::chrono::steady_clock::time_point ToSteadyClock(absl::Time time);

}  // namespace quire

#endif  // QUIRE_CORE_STEADY_TIME_H_
