// Latent attention of the CPU backend with the heads of DeepSeek-V2-Lite (16) and DeepSeek-V3
// (128), over caches that no cache of the machine holds.
//
//   mla_bench [--isa=auto] [--threads=N] [google benchmark flags]
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "attention/cpu/cpu_mla.h"
#include "bench/attention/paged_batch.h"
#include "bench/ops/ceilings.h"
#include "bench/ops/setup.h"
#include "benchmark/benchmark.h"
#include "ops/cpu/cpu_ops.h"

namespace quire::bench {
namespace {

constexpr int kBlockTokens = 64;
constexpr int64_t kMaxRows = 2048;

// A paged batch, its queries and what comes out.
class Batch : public PagedBatch {
 public:
  Batch(Setup& setup, const MlaShape& shape, int64_t entries, int64_t query_tokens,
        int64_t kv_tokens, int64_t copies)
      : PagedBatch(setup, {1, shape.cache_dim(), 0, kBlockTokens, DType::kBFloat16}, entries,
                   query_tokens, kv_tokens, copies),
        shape_(shape),
        q_(rows() * shape.q_width(), ToBf16(0.1F)),
        out_(rows() * std::max(shape.latent_width(), shape.out_width())),
        latent_(rows() * std::max<int64_t>(shape.latent_width(), shape.cache_dim()), 0.1F) {}

  DeviceMatrix q() {
    return {q_.data(), DType::kBFloat16, rows(), shape_.q_width(), shape_.q_width()};
  }
  DeviceMatrix latent(int64_t cols) {
    return {latent_.data(), DType::kFloat32, rows(), cols, cols};
  }
  DeviceMatrix out(int64_t cols) { return {out_.data(), DType::kBFloat16, rows(), cols, cols}; }

 private:
  MlaShape shape_;
  std::vector<bf16> q_, out_;
  std::vector<float> latent_;
};

// What the benchmarks of one shape run on.
struct Machine {
  Machine(Setup& made, const MlaShape& mla_shape)
      : setup(made),
        shape(mla_shape),
        mla(MakeCpuMla(setup.pool, setup.memory, setup.isa, {.shape = shape, .max_rows = kMaxRows})
                .value()),
        ops(MakeCpuOps(setup.pool, setup.memory, setup.isa, {.max_rows = kMaxRows})) {
    std::vector<bf16> weight(shape.expanded_width() * shape.latent_dim);
    FillRandom(weight.data(), DType::kBFloat16, static_cast<int64_t>(weight.size()));
    WeightRows rows;
    rows.weight = weight.data();
    rows.out_features = shape.expanded_width();
    expand = ops->MakeLinear({.name = "kv_b_proj",
                              .in_features = shape.latent_dim,
                              .parts = {rows},
                              .act_dtype = DType::kBFloat16})
                 .value();
  }

  Setup& setup;
  MlaShape shape;
  std::unique_ptr<Mla> mla;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Linear> expand;
};

// Bound by the FMA units: 2 H (2 R + Dr) multiplications a key, whose row is 2 (R + Dr) bytes.
void BM_Absorbed(benchmark::State& state, Machine& machine, int64_t entries, int64_t context) {
  const MlaShape& shape = machine.shape;
  const int64_t bytes = entries * context * shape.cache_dim() * 2;
  Batch batch(machine.setup, shape, entries, 1, context, CopiesFor(bytes));
  const Work work{static_cast<double>(bytes), 2.0 * static_cast<double>(entries * context) *
                                                  shape.num_heads *
                                                  (2 * shape.latent_dim + shape.rope_dim)};
  const Setup& setup = machine.setup;
  Report(state, machine.setup.ceilings, setup.isa, setup.isa == CpuIsa::kAvx512Bf16,
         Bound::kCompute, work, [&](int64_t i) {
           machine.mla->Absorbed({.q_latent = batch.latent(shape.latent_width()),
                                  .q = batch.q(),
                                  .out = batch.out(shape.latent_width()),
                                  .shape = shape,
                                  .scale = 0.05F,
                                  .kv = batch.Kv()},
                                 batch.View(i));
         });
}

// `tokens` prompt rows behind a context of `context`, all projections up included.
void BM_Prefill(benchmark::State& state, Machine& machine, int64_t tokens, int64_t context) {
  const MlaShape& shape = machine.shape;
  const int64_t keys = context + tokens;
  Batch batch(machine.setup, shape, 1, tokens, keys, 1);
  const double seen = static_cast<double>(tokens) *
                      (static_cast<double>(context) + static_cast<double>(tokens + 1) / 2);
  const Work work{
      static_cast<double>(keys * shape.cache_dim() * 2),
      2.0 * shape.num_heads *
          (seen * (shape.head_dim() + shape.value_dim) +
           static_cast<double>(keys) * shape.latent_dim * (shape.nope_dim + shape.value_dim))};
  const Setup& setup = machine.setup;
  Report(state, machine.setup.ceilings, setup.isa, setup.isa == CpuIsa::kAvx512Bf16,
         Bound::kCompute, work, [&](int64_t i) {
           machine.mla->Prefill({.q = batch.q(),
                                 .out = batch.out(shape.out_width()),
                                 .shape = shape,
                                 .scale = 0.07F,
                                 .kv = batch.Kv()},
                                batch.View(i),
                                [&](const DeviceMatrix& latent, const DeviceMatrix& expanded) {
                                  machine.ops->Apply(*machine.expand, latent, expanded);
                                });
         });
}

void BM_NormRopeWrite(benchmark::State& state, Machine& machine, int64_t tokens) {
  const MlaShape& shape = machine.shape;
  Batch batch(machine.setup, shape, 1, tokens, tokens, 1);
  const std::vector<float> norm(shape.latent_dim, 1.0F);
  const std::vector<float> table(tokens * shape.rope_dim / 2, 0.7F);
  RopeTable rope{table.data(), table.data(), tokens, shape.rope_dim};
  rope.interleaved = true;
  // Reads the latent row and writes it to its slot; reads and writes the rotated dims of q.
  const Work work{static_cast<double>(tokens) *
                      (6.0 * shape.cache_dim() + 4.0 * shape.num_heads * shape.rope_dim),
                  0};
  Report(state, machine.setup.ceilings, machine.setup.isa, false, Bound::kMemory, work,
         [&](int64_t i) {
           machine.mla->NormRopeWrite({.latent = batch.latent(shape.cache_dim()),
                                       .q = batch.q(),
                                       .shape = shape,
                                       .latent_norm = norm.data(),
                                       .rope = rope,
                                       .kv = batch.Kv()},
                                      batch.View(i));
         });
}

void Register(Machine& machine, const std::string& heads) {
  const auto add = [&](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime();
  };
  for (int64_t entries : {1, 8, 32}) {
    for (int64_t context : {512, 2048, 8192}) {
      add(absl::StrCat("absorbed/batch", entries, "/ctx", context, "/", heads),
          [&machine, entries, context](benchmark::State& state) {
            BM_Absorbed(state, machine, entries, context);
          });
    }
  }
  for (int64_t tokens : {32, 512, 2048}) {
    for (int64_t context : {0, 4096}) {
      add(absl::StrCat("prefill/T", tokens, "/ctx", context, "/", heads),
          [&machine, tokens, context](benchmark::State& state) {
            BM_Prefill(state, machine, tokens, context);
          });
    }
  }
  for (int64_t tokens : {1, 32, 512}) {
    add(absl::StrCat("norm_rope_write/T", tokens, "/", heads),
        [&machine, tokens](benchmark::State& state) { BM_NormRopeWrite(state, machine, tokens); });
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const SetupFlags flags = ParseSetupFlags(argc, argv);
  Setup setup(flags);
  Machine lite(setup, {16, 512, 128, 64, 128});
  Machine large(setup, {128, 512, 128, 64, 128});
  Register(lite, "16h");
  Register(large, "128h");
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
