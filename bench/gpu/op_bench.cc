#include "bench/gpu/op_bench.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/gpu/linears.h"
#include "core/check.h"

namespace quire::gpu_bench {
namespace {

constexpr double kActBytes = 2;
constexpr double kWideBytes = 4;

// Rows as a step has them: all generated, or all of prompts.
struct Rows {
  int64_t count;
  bool generated;

  int64_t num_generated() const { return generated ? count : 0; }
  std::string name() const { return absl::StrCat("M=", count, generated ? "" : " prompt"); }
};

std::vector<Rows> AllRows(const OpSizes& sizes) {
  std::vector<Rows> rows;
  for (int64_t count : sizes.decode_rows) rows.push_back({count, true});
  for (int64_t count : sizes.prompt_rows) rows.push_back({count, false});
  return rows;
}

Work ProductWork(double rows, double out, double in, double y_bytes) {
  return {out * in * kActBytes + rows * (in * kActBytes + out * y_bytes), 2 * rows * out * in};
}

// One matrix of a layer, for all numbers of rows.
void RunProduct(OpBench& bench, const std::string& name, int64_t out, int64_t in, DType y_dtype,
                bool prompts = true) {
  Ops& ops = bench.backend.ops();
  std::vector<std::unique_ptr<Linear>> copies;
  const int64_t count = bench.memory.Copies(static_cast<double>(out * in) * kActBytes);
  for (int64_t i = 0; i < count; ++i) copies.push_back(RandomLinear(ops, out, in));
  for (const auto& linear : copies) ops.Prepare(*linear, y_dtype);
  for (const Rows& rows : AllRows(bench.sizes)) {
    if (!prompts && !rows.generated) continue;
    const auto x = bench.memory.Rotating(kAct, rows.count, in);
    const auto y = bench.memory.Rotating(y_dtype, rows.count, out);
    const Work work =
        ProductWork(static_cast<double>(rows.count), static_cast<double>(out),
                    static_cast<double>(in), static_cast<double>(DTypeBytes(y_dtype)));
    bench.Measure(
        name, absl::StrCat(rows.name(), " ", out, "x", in), rows.count, work,
        [&](int64_t i) { ops.Apply(*copies[i % count], x.at(i), y.at(i), rows.num_generated()); });
  }
}

void RunNorm(OpBench& bench) {
  Ops& ops = bench.backend.ops();
  const int64_t width = bench.model.hidden_size;
  Norm norm{.kind = bench.model.norm, .eps = bench.model.norm_eps};
  norm.weight = ops.MakeVector(std::vector<float>(width, 1.0F)).value();
  for (const Rows& rows : AllRows(bench.sizes)) {
    const auto residual = bench.memory.Rotating(DType::kFloat32, rows.count, width);
    const auto delta = bench.memory.Rotating(DType::kFloat32, rows.count, width);
    const auto out = bench.memory.Rotating(kAct, rows.count, width);
    // The residual is read and written.
    const Work work{static_cast<double>(rows.count * width) * (3 * kWideBytes + kActBytes), 0};
    bench.Measure(
        "add_norm", absl::StrCat(rows.name(), " ", width), rows.count, work, [&](int64_t i) {
          ops.AddNormalise(
              {.residual = residual.at(i), .delta = delta.at(i), .norm = norm, .out = out.at(i)});
        });
  }
}

void RunActivation(OpBench& bench, int64_t width) {
  Ops& ops = bench.backend.ops();
  for (const Rows& rows : AllRows(bench.sizes)) {
    const auto gate_up = bench.memory.Rotating(kAct, rows.count, 2 * width);
    const auto out = bench.memory.Rotating(kAct, rows.count, width);
    bench.Measure("activation", absl::StrCat(rows.name(), " ", width), rows.count,
                  {static_cast<double>(rows.count * width) * 3 * kActBytes, 0}, [&](int64_t i) {
                    ops.GatedActivation(bench.model.activation, gate_up.at(i), out.at(i));
                  });
  }
}

// Each row's experts, all different, at random.
std::vector<int32_t> RandomExperts(int64_t rows, int experts, int top_k, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> all(experts), ids;
  std::iota(all.begin(), all.end(), 0);
  for (int64_t row = 0; row < rows; ++row) {
    for (int k = 0; k < top_k; ++k) {
      std::swap(all[k], all[k + random() % (experts - k)]);
      ids.push_back(all[k]);
    }
  }
  return ids;
}

void RunExperts(OpBench& bench, const MoeConfig& moe) {
  Ops& ops = bench.backend.ops();
  const int64_t width = bench.model.hidden_size;
  const int64_t ffn = moe.intermediate_size;
  const int num_experts = moe.routing.num_experts;
  const int top_k = moe.routing.top_k;
  if (!bench.memory.HasRoom(static_cast<double>(3 * num_experts * ffn * width) * kActBytes)) {
    bench.report.LeaveOut("experts", "", "their weights do not fit");
    return;
  }
  ExpertsSpec spec{.activation = bench.model.activation, .top_k = top_k, .act_dtype = kAct};
  for (int expert = 0; expert < num_experts; ++expert) {
    spec.gate_up.push_back(RandomLinear(ops, 2 * ffn, width));
    spec.down.push_back(RandomLinear(ops, width, ffn));
  }
  auto experts = ops.MakeExperts(std::move(spec));
  QUIRE_CHECK(experts.ok()) << experts.status();
  const RouterParams router{moe.routing, {}};
  for (const Rows& rows : AllRows(bench.sizes)) {
    const int64_t chosen = rows.count * top_k;
    const auto logits = bench.memory.Rotating(DType::kFloat32, rows.count, num_experts);
    const auto weights = bench.memory.Rotating(DType::kFloat32, rows.count, top_k);
    const DeviceBuffer routed = bench.memory.Copied(std::vector<int32_t>(chosen));
    bench.Measure("route", absl::StrCat(rows.name(), " ", top_k, " of ", num_experts), rows.count,
                  {static_cast<double>(rows.count) * (num_experts + 2 * top_k) * kWideBytes, 0},
                  [&](int64_t i) {
                    ops.Route(router, logits.at(i), {static_cast<int32_t*>(routed.data()), chosen},
                              weights.at(i));
                  });

    // Other experts in each call, so that no cache holds them.
    constexpr uint32_t kChoices = 8;
    std::vector<DeviceBuffer> ids;
    double used = 0;
    for (uint32_t choice = 0; choice < kChoices; ++choice) {
      const auto some = RandomExperts(rows.count, num_experts, top_k, choice);
      used += static_cast<double>(std::set<int32_t>(some.begin(), some.end()).size()) / kChoices;
      ids.push_back(bench.memory.Copied(some));
    }
    const auto x = bench.memory.Rotating(kAct, rows.count, width);
    const auto out = bench.memory.Rotating(DType::kFloat32, rows.count, width);
    const double matrix = 3.0 * static_cast<double>(ffn * width);  // numbers of an expert
    const Work work{used * matrix * kActBytes +
                        static_cast<double>(rows.count * width) * (kActBytes + kWideBytes),
                    2 * static_cast<double>(chosen) * matrix};
    bench.Measure("experts", absl::StrCat(rows.name(), " ", ffn, "x", width), rows.count, work,
                  [&](int64_t i) {
                    const auto* const id = static_cast<const int32_t*>(ids[i % kChoices].data());
                    ops.ApplyExperts(**experts, x.at(i), {id, chosen}, weights.at(i), out.at(i));
                  });
  }
}

// With what a step does around it: the host's lists, the copy and the wait for its tokens.
void RunSampler(OpBench& bench) {
  const int64_t vocabulary = bench.model.vocab_size;
  SamplingParams drawn;
  drawn.temperature = 0.8F;
  drawn.top_k = 50;
  drawn.top_p = 0.95F;
  SamplingParams greedy;
  greedy.temperature = 0;
  for (const auto& [name, params] : {std::pair{"greedy", greedy}, {"top_k+top_p", drawn}}) {
    for (int64_t count : bench.sizes.decode_rows) {
      const auto logits = bench.memory.Rotating(DType::kFloat32, count, vocabulary);
      std::vector<SampleRow> rows(count);
      std::vector<SampledToken> tokens(count);
      for (int64_t row = 0; row < count; ++row) {
        rows[row].logits_row = row;
        rows[row].params = &params;
      }
      bench.Measure("sampler", absl::StrCat("M=", count, " ", name), count,
                    {static_cast<double>(count * vocabulary) * kWideBytes, 0}, [&](int64_t i) {
                      for (SampleRow& row : rows) row.output_position = static_cast<uint64_t>(i);
                      bench.backend.sampler().Sample(logits.at(i), rows, absl::MakeSpan(tokens));
                    });
    }
  }
}

}  // namespace

int64_t OpSizes::most_rows() const {
  int64_t most = product;
  for (const auto& rows : {decode_rows, prompt_rows}) {
    for (int64_t count : rows) most = std::max(most, count);
  }
  return most;
}

int64_t OpSizes::most_context() const {
  int64_t most = most_rows();
  for (int64_t context : contexts) most = std::max(most, context);
  return most;
}

void OpBench::Measure(const std::string& op, const std::string& shape, int64_t rows,
                      const Work& work, absl::FunctionRef<void(int64_t i)> run) {
  report.Add({.op = op, .shape = shape, .rows = rows, .timing = timer.Time(run), .work = work});
}

double MeasureProduct(Backend& backend, Timer& timer, RandomMemory& memory, int64_t side) {
  Ops& ops = backend.ops();
  const auto linear = RandomLinear(ops, side, side);
  ops.Prepare(*linear, kAct);
  const auto x = memory.Rotating(kAct, side, side);
  const auto y = memory.Rotating(kAct, side, side);
  const Timing timing = timer.Time([&](int64_t i) { ops.Apply(*linear, x.at(i), y.at(i)); });
  const auto n = static_cast<double>(side);
  return 2 * n * n * n / timing.median;
}

void RunOps(OpBench& bench) {
  const ModelConfig& model = bench.model;
  const int64_t width = model.hidden_size;
  RunNorm(bench);
  if (model.mla) {
    const MlaShape& shape = model.mla->shape;
    RunProduct(bench, "q+latent", model.mla->down_query_width() + shape.cache_dim(), width, kAct);
    RunProduct(bench, "attention_out", width, shape.out_width(), DType::kFloat32);
  } else {
    const GqaShape shape = model.attention_shape(0);
    RunProduct(bench, "qkv", shape.qkv_width(), width, kAct);
    RunProduct(bench, "attention_out", width, shape.out_width(), DType::kFloat32);
  }
  bool dense = false;
  for (const LayerConfig& layer : model.layers) dense = dense || !layer.moe;
  if (dense) {
    const int64_t up = (model.gated_mlp ? 2 : 1) * model.intermediate_size;
    RunProduct(bench, "gate+up", up, width, kAct);
    if (model.gated_mlp) RunActivation(bench, model.intermediate_size);
    RunProduct(bench, "down", width, model.intermediate_size, DType::kFloat32);
  }
  if (model.moe) RunExperts(bench, *model.moe);
  RunProduct(bench, "lm_head", model.vocab_size, width, DType::kFloat32, /*prompts=*/false);
  RunSampler(bench);
}

}  // namespace quire::gpu_bench
