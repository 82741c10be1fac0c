#include "bench/gpu/gpu_bench.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/gpu/bench_device.h"
#include "core/status_macros.h"
#include "core/steady_time.h"
#include "model/model_config.h"

namespace quire::gpu_bench {
namespace {

// A device that runs one model's ops.
struct Opened {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<DeviceClock> clock;  // of the backend's queue
  std::unique_ptr<Timer> timer;
  std::unique_ptr<RandomMemory> memory;
};

absl::StatusOr<Opened> Open(const ModelConfig& model, const BenchOptions& options) {
  const OpSizes& sizes = options.op_sizes;
  QUIRE_ASSIGN_OR_RETURN(BenchDevice device, OpenBenchDevice(sizes.most_rows()));
  BackendOptions backend;
  backend.device = "cuda";
  backend.max_batch_tokens = sizes.most_rows();
  backend.max_context = sizes.most_context();
  DeviceQueue& queue = *device.device.queue;
  Opened opened;
  opened.clock = std::move(device.clock);
  QUIRE_ASSIGN_OR_RETURN(opened.backend, MakeCudaBackend(std::move(device.device), backend, model));
  opened.timer =
      std::make_unique<Timer>(queue, *opened.clock, opened.backend->memory(), options.timer);
  opened.memory =
      std::make_unique<RandomMemory>(opened.backend->memory(), *opened.clock, device.cache_bytes);
  return opened;
}

std::string NameOf(const std::string& directory) {
  return std::filesystem::path(directory).lexically_normal().filename().string();
}

absl::Status RunModelOps(const ModelConfig& model, const BenchOptions& options, Report& report) {
  QUIRE_ASSIGN_OR_RETURN(const Opened opened, Open(model, options));
  OpBench bench{model, *opened.backend, *opened.timer, *opened.memory, options.op_sizes, report};
  RunOps(bench);
  RunAttention(bench);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunBench(const BenchOptions& options, Report& report) {
  const absl::Time end = SteadyNow() + options.time_limit;
  std::vector<ModelConfig> configs;
  for (const std::string& directory : options.models) {
    QUIRE_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(directory));
    configs.push_back(std::move(config));
  }
  if (configs.empty()) return absl::InvalidArgumentError("no model is named");
  {
    QUIRE_ASSIGN_OR_RETURN(const Opened opened, Open(configs[0], options));
    const double product =
        MeasureProduct(*opened.backend, *opened.timer, *opened.memory, options.op_sizes.product);
    report.Begin(opened.backend->Describe(), {opened.timer->copy_bytes_per_second(), product});
  }
  for (size_t i = 0; i < configs.size(); ++i) {
    for (const bool ops : {false, true}) {
      if (ops ? !options.ops : !options.steps) continue;
      report.BeginModel(NameOf(options.models[i]), ops ? "ops of a layer" : "whole steps");
      if (SteadyNow() > end) {
        report.LeaveOut("all", "", "no time is left");
        continue;
      }
      absl::Status status = ops ? RunModelOps(configs[i], options, report)
                                : RunSteps(options.models[i], options.step_sizes, report);
      if (status.code() == absl::StatusCode::kResourceExhausted) {
        report.LeaveOut("all", "", std::string(status.message()));
      } else if (!status.ok()) {
        return status;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace quire::gpu_bench
