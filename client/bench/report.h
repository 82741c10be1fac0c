// A benchmark's result for people and for scripts.
#ifndef QUIRE_CLIENT_BENCH_REPORT_H_
#define QUIRE_CLIENT_BENCH_REPORT_H_

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/bench/metrics.h"
#include "client/bench/request_record.h"

namespace quire::bench {

// What was asked for, as far as the report repeats it.
struct RunDescription {
  std::string model;
  std::string server;
  std::string date;  // 20250131-235959
  int num_prompts = 0;
  double requests_per_s = std::numeric_limits<double>::infinity();
  double burstiness = 1;
  int max_concurrency = 0;          // 0 = no limit
  std::vector<double> percentiles;  // those in Distribution::percentiles
};

// The block that `vllm bench serve` prints, with a line under "Failed requests" for each status.
std::string ReportBlock(const RunDescription& run, const Metrics& metrics);

// Its JSON keys. `detailed` adds the arrays, with an element for each request.
nlohmann::ordered_json ReportJson(const RunDescription& run, const Metrics& metrics,
                                  const std::vector<RequestRecord>& records, bool detailed);

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_REPORT_H_
