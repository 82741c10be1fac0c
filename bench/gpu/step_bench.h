// Whole steps of a model with random weights, through the engine: what a client waits for.
#ifndef QUIRE_BENCH_GPU_STEP_BENCH_H_
#define QUIRE_BENCH_GPU_STEP_BENCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/gpu/report.h"
#include "model/model_config.h"

namespace quire::gpu_bench {

struct StepSizes {
  std::vector<int64_t> batches = {1, 8, 32, 128, 256};
  int64_t context = 1024;  // of each sequence when its decode begins
  int64_t steps = 64;      // that are measured
  std::vector<int64_t> prompts = {512, 2048, 8192};
  int prompt_repeats = 5;
  int64_t max_batch_tokens = 4096;
  double gpu_memory_fraction = 0.9;
};

// Loads the model of `directory` (a config.json) and measures decode steps at each batch, and
// prompts alone. What the cache has no room for is left out. The errors are those of
// LoadedModel::Load.
absl::Status RunSteps(const std::string& directory, const StepSizes& sizes, Report& report);

// What a decode step of `batch` sequences at a mean context has to read and to compute: all weights
// but the table of tokens once, of experts those that as many random choices are expected to reach,
// and the sequences' keys and values.
Work DecodeWork(const ModelConfig& config, int64_t batch, double mean_context,
                double kv_bytes_per_token);
// What a prompt computes.
Work PromptWork(const ModelConfig& config, int64_t tokens, double kv_bytes_per_token);

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_STEP_BENCH_H_
