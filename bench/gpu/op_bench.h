// The ops of a model's layer, at the shapes in which its steps call them.
#ifndef QUIRE_BENCH_GPU_OP_BENCH_H_
#define QUIRE_BENCH_GPU_OP_BENCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "bench/gpu/report.h"
#include "bench/gpu/timer.h"
#include "engine/backend.h"
#include "model/model_config.h"

namespace quire::gpu_bench {

struct OpSizes {
  std::vector<int64_t> decode_rows = {1, 8, 32, 128, 256};
  std::vector<int64_t> prompt_rows = {2048, 8192};
  std::vector<int64_t> contexts = {1024, 8192, 32768};  // of decode attention
  int64_t product = 8192;                               // side of the matrices of the ceiling

  int64_t most_rows() const;
  int64_t most_context() const;
};

// What the benchmarks of one model share.
struct OpBench {
  const ModelConfig& model;
  Backend& backend;
  Timer& timer;
  RandomMemory& memory;
  const OpSizes& sizes;
  Report& report;

  // Times run(i) and adds a line.
  void Measure(const std::string& op, const std::string& shape, int64_t rows, const Work& work,
               absl::FunctionRef<void(int64_t i)> run);
};

// FLOPs a second of the largest product, in bf16, as rows of prompts.
double MeasureProduct(Backend& backend, Timer& timer, RandomMemory& memory, int64_t side);

// Norms, products, activations, experts and the drawing of tokens.
void RunOps(OpBench& bench);
// Rotations, cache writes and attention (attention_bench.cc).
void RunAttention(OpBench& bench);

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_OP_BENCH_H_
