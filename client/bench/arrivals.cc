#include "client/bench/arrivals.h"

#include <cmath>
#include <random>

namespace quire::bench {

std::vector<double> ArrivalTimes(int count, double requests_per_s, double burstiness,
                                 uint64_t seed) {
  std::mt19937_64 random(seed);
  const bool constant = std::isinf(burstiness);
  std::gamma_distribution<double> gap(constant ? 1.0 : burstiness);
  std::vector<double> times_s(count, 0.0);
  for (int i = 1; i < count; ++i) times_s[i] = times_s[i - 1] + (constant ? 1.0 : gap(random));
  if (count < 2 || times_s.back() <= 0) return times_s;
  const double scale = (count - 1) / requests_per_s / times_s.back();
  for (double& time_s : times_s) time_s *= scale;
  return times_s;
}

}  // namespace quire::bench
