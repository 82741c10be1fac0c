#include "core/steady_time.h"

#include "absl/time/clock.h"

namespace quire {
namespace {

struct Origin {
  absl::Time wall = absl::Now();
  std::chrono::steady_clock::time_point steady = std::chrono::steady_clock::now();
};

const Origin& TheOrigin() {
  static const Origin origin;
  return origin;
}

}  // namespace

absl::Time SteadyNow() {
  const Origin& origin = TheOrigin();
  return origin.wall + absl::FromChrono(std::chrono::steady_clock::now() - origin.steady);
}

absl::Time SteadyTimeOf(absl::Time wall) {
  return wall == absl::InfiniteFuture() ? wall : SteadyNow() + (wall - absl::Now());
}

std::chrono::steady_clock::time_point ToSteadyClock(absl::Time time) {
  const Origin& origin = TheOrigin();
  return origin.steady + absl::ToChronoNanoseconds(time - origin.wall);
}

}  // namespace quire
