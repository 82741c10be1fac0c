// When the requests of an open-loop benchmark arrive.
#ifndef QUIRE_CLIENT_BENCH_ARRIVALS_H_
#define QUIRE_CLIENT_BENCH_ARRIVALS_H_

#include <cstdint>
#include <vector>

namespace quire::bench {

// `count` times in seconds, not decreasing, the first 0. The gaps are gamma-distributed with shape
// `burstiness`: 1 is a Poisson process, below it requests come in bursts, above it more evenly,
// and infinity is a constant gap. They are scaled to last (count - 1) / requests_per_s together, so
// that the rate is the one asked for whatever the seed.
std::vector<double> ArrivalTimes(int count, double requests_per_s, double burstiness,
                                 uint64_t seed);

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_ARRIVALS_H_
