// What a benchmark measured, from the records of its requests. The definitions, and the names in
// the report, are those of `vllm bench serve`, so that numbers compare:
//   TTFT  time to first token, from the arrival
//   TPOT  time per output token after the first: (E2EL - TTFT) / (tokens - 1), of each request
//   ITL   inter-token latency, of each token after a request's first (see RequestRecord)
//   E2EL  end-to-end latency, from the arrival to the last event
// Percentiles interpolate linearly between ranks; std is the population's. Failed requests count
// only as failed.
#ifndef QUIRE_CLIENT_BENCH_METRICS_H_
#define QUIRE_CLIENT_BENCH_METRICS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/bench/request_record.h"

namespace quire::bench {

// Limits that a request must keep to be good; unset is no limit. A request of one token has TPOT 0.
struct GoodputLimits {
  std::optional<double> ttft_ms;
  std::optional<double> tpot_ms;
  std::optional<double> e2el_ms;

  bool any() const { return ttft_ms || tpot_ms || e2el_ms; }
  bool Keeps(const RequestRecord& record) const;
};

// From "ttft:200", "tpot:50", "e2el:5000".
absl::StatusOr<GoodputLimits> ParseGoodput(const std::vector<std::string>& limits);

// All 0 where there are no values.
struct Distribution {
  double mean = 0;
  double median = 0;
  double std = 0;
  std::vector<double> percentiles;  // in the order asked for
};

Distribution Describe(std::vector<double> values, absl::Span<const double> percentiles);

// Of sorted values, at least one; 0 <= percentile <= 100.
double Percentile(absl::Span<const double> sorted, double percentile);

struct Metrics {
  double duration_s = 0;  // from the first arrival to the last end
  int completed = 0;
  int failed = 0;
  std::map<std::string, int> failed_by_status;  // "RESOURCE_EXHAUSTED"
  int64_t total_input_tokens = 0;
  int64_t total_output_tokens = 0;
  double request_throughput = 0;
  std::optional<double> request_goodput;  // if limits were given
  double output_throughput = 0;
  double total_token_throughput = 0;
  // The most tokens that came in one of the seconds since the first arrival.
  double max_output_tokens_per_s = 0;
  // The most requests under way at one moment, failed ones too.
  int max_concurrent_requests = 0;
  Distribution ttft_ms;
  Distribution tpot_ms;
  Distribution itl_ms;
  Distribution e2el_ms;
};

Metrics Measure(const std::vector<RequestRecord>& records, const GoodputLimits& goodput,
                absl::Span<const double> percentiles);

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_METRICS_H_
