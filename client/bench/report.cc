#include "client/bench/report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace quire::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kWidth = 50;

std::string Ruler(char rule, const std::string& title) {
  const size_t left = (kWidth - title.size()) / 2;
  return std::string(left, rule) + title + std::string(kWidth - title.size() - left, rule) + "\n";
}

std::string Line(const std::string& label, int64_t value) {
  return absl::StrFormat("%-40s %d\n", label, value);
}

std::string Line(const std::string& label, double value) {
  return absl::StrFormat("%-40s %.2f\n", label, value);
}

// 99 -> "99", 99.9 -> "99.9"
std::string PercentileName(double percentile) { return absl::StrFormat("%g", percentile); }

struct Section {
  const char* key;
  const char* name;
  const char* title;
  const Distribution& values_ms;
};

std::vector<Section> Sections(const Metrics& metrics) {
  return {{"ttft", "TTFT", "Time to First Token", metrics.ttft_ms},
          {"tpot", "TPOT", "Time per Output Token (excl. 1st token)", metrics.tpot_ms},
          {"itl", "ITL", "Inter-token Latency", metrics.itl_ms},
          {"e2el", "E2EL", "End-to-end Latency", metrics.e2el_ms}};
}

void AddArrays(const std::vector<RequestRecord>& records, Json& json) {
  for (const char* key : {"input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times",
                          "queue_times", "errors"}) {
    json[key] = Json::array();
  }
  for (const RequestRecord& record : records) {
    json["input_lens"].push_back(record.input_tokens);
    json["output_lens"].push_back(record.status.ok() ? record.output_tokens : 0);
    json["ttfts"].push_back(record.ttft_s());
    json["itls"].push_back(record.itls_s);
    json["latencies"].push_back(record.e2el_s());
    json["start_times"].push_back(record.arrival_s);
    json["queue_times"].push_back(record.sent_s - record.arrival_s);
    json["errors"].push_back(
        record.status.ok() ? ""
                           : record.status.ToString(absl::StatusToStringMode::kWithNoExtraData));
  }
}

}  // namespace

std::string ReportBlock(const RunDescription& run, const Metrics& metrics) {
  std::string text = Ruler('=', " Serving Benchmark Result ");
  text += Line("Successful requests:", int64_t{metrics.completed});
  text += Line("Failed requests:", int64_t{metrics.failed});
  for (const auto& [code, count] : metrics.failed_by_status) {
    text += Line("  " + code + ":", int64_t{count});
  }
  if (run.max_concurrency > 0) {
    text += Line("Maximum request concurrency:", int64_t{run.max_concurrency});
  }
  if (!std::isinf(run.requests_per_s)) {
    text += Line("Request rate configured (RPS):", run.requests_per_s);
  }
  text += Line("Benchmark duration (s):", metrics.duration_s);
  text += Line("Total input tokens:", metrics.total_input_tokens);
  text += Line("Total generated tokens:", metrics.total_output_tokens);
  text += Line("Request throughput (req/s):", metrics.request_throughput);
  if (metrics.request_goodput) text += Line("Request goodput (req/s):", *metrics.request_goodput);
  text += Line("Output token throughput (tok/s):", metrics.output_throughput);
  text += Line("Peak output token throughput (tok/s):", metrics.max_output_tokens_per_s);
  text += Line("Peak concurrent requests:", static_cast<double>(metrics.max_concurrent_requests));
  text += Line("Total token throughput (tok/s):", metrics.total_token_throughput);
  for (const Section& section : Sections(metrics)) {
    text += Ruler('-', section.title);
    text += Line(absl::StrCat("Mean ", section.name, " (ms):"), section.values_ms.mean);
    text += Line(absl::StrCat("Median ", section.name, " (ms):"), section.values_ms.median);
    for (size_t i = 0; i < run.percentiles.size(); ++i) {
      text +=
          Line(absl::StrCat("P", PercentileName(run.percentiles[i]), " ", section.name, " (ms):"),
               section.values_ms.percentiles[i]);
    }
  }
  return text + Ruler('=', "");
}

Json ReportJson(const RunDescription& run, const Metrics& metrics,
                const std::vector<RequestRecord>& records, bool detailed) {
  Json json;
  json["date"] = run.date;
  json["backend"] = "quire";
  json["model_id"] = run.model;
  json["server"] = run.server;
  json["num_prompts"] = run.num_prompts;
  // JSON has no infinity.
  json["request_rate"] = std::isinf(run.requests_per_s) ? Json("inf") : Json(run.requests_per_s);
  json["burstiness"] = std::isinf(run.burstiness) ? Json("inf") : Json(run.burstiness);
  json["max_concurrency"] = run.max_concurrency > 0 ? Json(run.max_concurrency) : Json(nullptr);
  json["duration"] = metrics.duration_s;
  json["completed"] = metrics.completed;
  json["failed"] = metrics.failed;
  json["failed_by_status"] = Json(metrics.failed_by_status);
  json["total_input_tokens"] = metrics.total_input_tokens;
  json["total_output_tokens"] = metrics.total_output_tokens;
  json["request_throughput"] = metrics.request_throughput;
  json["request_goodput"] =
      metrics.request_goodput ? Json(*metrics.request_goodput) : Json(nullptr);
  json["output_throughput"] = metrics.output_throughput;
  json["total_token_throughput"] = metrics.total_token_throughput;
  json["max_output_tokens_per_s"] = metrics.max_output_tokens_per_s;
  json["max_concurrent_requests"] = metrics.max_concurrent_requests;
  if (detailed) AddArrays(records, json);
  for (const Section& section : Sections(metrics)) {
    const std::string suffix = absl::StrCat("_", section.key, "_ms");
    json["mean" + suffix] = section.values_ms.mean;
    json["median" + suffix] = section.values_ms.median;
    json["std" + suffix] = section.values_ms.std;
    for (size_t i = 0; i < run.percentiles.size(); ++i) {
      json[absl::StrCat("p", PercentileName(run.percentiles[i]), suffix)] =
          section.values_ms.percentiles[i];
    }
  }
  return json;
}

}  // namespace quire::bench
