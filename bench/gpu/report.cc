#include "bench/gpu/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"

namespace quire::gpu_bench {

double Ceilings::Floor(const Work& work) const {
  return std::max(work.bytes / copy_bytes_per_second, work.flops / product_flops_per_second);
}

bool Ceilings::IsBoundByBytes(const Work& work) const {
  return work.bytes / copy_bytes_per_second >= work.flops / product_flops_per_second;
}

void Report::Begin(const std::string& device, const Ceilings& ceilings) {
  device_ = device;
  ceilings_ = ceilings;
  out_ << absl::StreamFormat(
      "device: %s\ncopy on the device: %.1f GB/s\nbf16 product: %.1f TFLOP/s\n", device,
      ceilings.copy_bytes_per_second * 1e-9, ceilings.product_flops_per_second * 1e-12);
}

void Report::BeginModel(const std::string& model, const std::string& part) {
  model_ = model;
  out_ << absl::StreamFormat("\n%s: %s\n%-18s %-26s %11s %9s %9s %8s %7s %10s\n", model, part, "op",
                             "shape", "us", "GB/s", "TFLOP/s", "bound", "share", "tokens/s");
}

void Report::Add(Line line) {
  line.model = model_;
  const double seconds = line.timing.median;
  out_ << absl::StreamFormat(
      "%-18s %-26s %11.1f %9.1f %9.2f %8s %6.1f%% ", line.op, line.shape, seconds * 1e6,
      line.work.bytes / seconds * 1e-9, line.work.flops / seconds * 1e-12,
      ceilings_.IsBoundByBytes(line.work) ? "copy" : "product", 100 * Share(line));
  if (line.tokens_per_second > 0) {
    out_ << absl::StreamFormat("%10.1f", line.tokens_per_second);
  } else {
    out_ << absl::StreamFormat("%10s", "-");
  }
  out_ << std::endl;
  lines_.push_back(std::move(line));
}

void Report::LeaveOut(const std::string& op, const std::string& shape, const std::string& why) {
  out_ << absl::StreamFormat("%-18s %-26s left out: %s\n", op, shape, why) << std::flush;
  lines_.push_back({.model = model_, .op = op, .shape = shape, .left_out = why});
}

double Report::Share(const Line& line) const {
  return ceilings_.Floor(line.work) / line.timing.median;
}

nlohmann::json Report::Json() const {
  nlohmann::json lines = nlohmann::json::array();
  for (const Line& line : lines_) {
    nlohmann::json one = {{"model", line.model}, {"op", line.op}, {"shape", line.shape}};
    if (!line.left_out.empty()) {
      one["left_out"] = line.left_out;
    } else {
      one["rows"] = line.rows;
      one["seconds"] = line.timing.median;
      one["seconds_least"] = line.timing.least;
      one["seconds_most"] = line.timing.most;
      one["bytes"] = line.work.bytes;
      one["flops"] = line.work.flops;
      one["bound"] = ceilings_.IsBoundByBytes(line.work) ? "copy" : "product";
      one["share"] = Share(line);
      if (line.tokens_per_second > 0) one["tokens_per_second"] = line.tokens_per_second;
    }
    lines.push_back(std::move(one));
  }
  return {{"device", device_},
          {"copy_bytes_per_second", ceilings_.copy_bytes_per_second},
          {"product_flops_per_second", ceilings_.product_flops_per_second},
          {"lines", std::move(lines)}};
}

}  // namespace quire::gpu_bench
