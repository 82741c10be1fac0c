#include "client/bench/metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire::bench {
namespace {

// Every token's moment, from the first and the gaps after it.
int64_t PeakTokensInASecond(const std::vector<RequestRecord>& records, double start_s,
                            double end_s) {
  std::vector<int64_t> tokens(static_cast<size_t>(end_s - start_s) + 1);
  for (const RequestRecord& record : records) {
    if (!record.status.ok() || record.output_tokens == 0) continue;
    double token_s = record.first_token_s;
    ++tokens[static_cast<size_t>(token_s - start_s)];
    for (double itl_s : record.itls_s) {
      token_s += itl_s;
      // Sums of gaps may pass the last moment by a rounding.
      ++tokens[static_cast<size_t>(std::min(token_s, end_s) - start_s)];
    }
  }
  return *std::max_element(tokens.begin(), tokens.end());
}

int PeakConcurrency(const std::vector<RequestRecord>& records) {
  std::vector<std::pair<double, int>> changes;
  for (const RequestRecord& record : records) {
    changes.emplace_back(record.sent_s, 1);
    changes.emplace_back(record.end_s, -1);
  }
  // Ends before starts at the same moment: a request is under way in [sent, end).
  std::sort(changes.begin(), changes.end());
  int current = 0;
  int peak = 0;
  for (const auto& [time_s, change] : changes) peak = std::max(peak, current += change);
  return peak;
}

// The latencies of all completed requests, in milliseconds.
struct Latencies {
  std::vector<double> ttft_ms;
  std::vector<double> tpot_ms;
  std::vector<double> itl_ms;
  std::vector<double> e2el_ms;

  void Add(const RequestRecord& record) {
    e2el_ms.push_back(record.e2el_s() * 1e3);
    if (record.output_tokens > 0) ttft_ms.push_back(record.ttft_s() * 1e3);
    if (record.output_tokens > 1) tpot_ms.push_back(record.tpot_s() * 1e3);
    for (double itl_s : record.itls_s) itl_ms.push_back(itl_s * 1e3);
  }
};

}  // namespace

bool GoodputLimits::Keeps(const RequestRecord& record) const {
  return !(ttft_ms && record.ttft_s() * 1e3 > *ttft_ms) &&
         !(tpot_ms && record.tpot_s() * 1e3 > *tpot_ms) &&
         !(e2el_ms && record.e2el_s() * 1e3 > *e2el_ms);
}

absl::StatusOr<GoodputLimits> ParseGoodput(const std::vector<std::string>& limits) {
  GoodputLimits parsed;
  for (const std::string& limit : limits) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(limit, absl::MaxSplits(':', 1));
    std::optional<double>* target = parts.first == "ttft"   ? &parsed.ttft_ms
                                    : parts.first == "tpot" ? &parsed.tpot_ms
                                    : parts.first == "e2el" ? &parsed.e2el_ms
                                                            : nullptr;
    double value_ms = 0;
    if (target == nullptr || !absl::SimpleAtod(parts.second, &value_ms) || !(value_ms >= 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", limit, "\" is no limit; write ttft, tpot or e2el and milliseconds, as ttft:200"));
    }
    *target = value_ms;
  }
  return parsed;
}

double Percentile(absl::Span<const double> sorted, double percentile) {
  const double rank = percentile / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Distribution Describe(std::vector<double> values, absl::Span<const double> percentiles) {
  Distribution result;
  result.percentiles.assign(percentiles.size(), 0.0);
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (double value : values) squares += (value - result.mean) * (value - result.mean);
  result.std = std::sqrt(squares / count);
  result.median = Percentile(values, 50);
  for (size_t i = 0; i < percentiles.size(); ++i) {
    result.percentiles[i] = Percentile(values, percentiles[i]);
  }
  return result;
}

Metrics Measure(const std::vector<RequestRecord>& records, const GoodputLimits& goodput,
                absl::Span<const double> percentiles) {
  Metrics metrics;
  if (records.empty()) return metrics;
  Latencies latencies;
  int good = 0;
  double start_s = records.front().arrival_s;
  double end_s = records.front().end_s;
  for (const RequestRecord& record : records) {
    start_s = std::min(start_s, record.arrival_s);
    end_s = std::max(end_s, record.end_s);
    if (!record.status.ok()) {
      ++metrics.failed;
      ++metrics.failed_by_status[absl::StatusCodeToString(record.status.code())];
      continue;
    }
    ++metrics.completed;
    if (goodput.Keeps(record)) ++good;
    metrics.total_input_tokens += record.input_tokens;
    metrics.total_output_tokens += record.output_tokens;
    latencies.Add(record);
  }
  metrics.duration_s = end_s - start_s;
  const auto per_second = [&](int64_t count) {
    return metrics.duration_s > 0 ? static_cast<double>(count) / metrics.duration_s : 0.0;
  };
  metrics.request_throughput = per_second(metrics.completed);
  if (goodput.any()) metrics.request_goodput = per_second(good);
  metrics.output_throughput = per_second(metrics.total_output_tokens);
  metrics.total_token_throughput =
      per_second(metrics.total_input_tokens + metrics.total_output_tokens);
  metrics.max_output_tokens_per_s =
      static_cast<double>(PeakTokensInASecond(records, start_s, end_s));
  metrics.max_concurrent_requests = PeakConcurrency(records);
  metrics.ttft_ms = Describe(std::move(latencies.ttft_ms), percentiles);
  metrics.tpot_ms = Describe(std::move(latencies.tpot_ms), percentiles);
  metrics.itl_ms = Describe(std::move(latencies.itl_ms), percentiles);
  metrics.e2el_ms = Describe(std::move(latencies.e2el_ms), percentiles);
  return metrics;
}

}  // namespace quire::bench
