// Mixtures of experts and products by head on the CPU, at the shapes of large models.
//
//   moe_bench [--isa=auto] [--threads=N] [google benchmark flags]
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/ops/ceilings.h"
#include "bench/ops/ops_setup.h"
#include "benchmark/benchmark.h"
#include "core/check.h"

namespace quire::bench {
namespace {

constexpr DType kAct = DType::kBFloat16;

std::unique_ptr<Linear> RandomLinear(Ops& ops, int64_t out, int64_t in,
                                     const std::vector<uint8_t>& numbers) {
  LinearSpec spec{"bench", in, {{numbers.data(), kAct, out}}, kAct};
  auto linear = ops.MakeLinear(spec);
  QUIRE_CHECK(linear.ok()) << linear.status();
  return *std::move(linear);
}

struct ExpertsShape {
  std::string name;
  int num_experts;
  int top_k;
  int64_t hidden;
  int64_t ffn;
  int64_t weights() const { return 3 * hidden * ffn; }  // of an expert
};

struct MoeSetup : OpsSetup {
  using OpsSetup::OpsSetup;
  // The last shape's experts: its cases follow each other. No cache holds them.
  std::string experts_name;
  std::unique_ptr<Experts> experts;
};

const Experts& ExpertsOf(MoeSetup& setup, const ExpertsShape& shape) {
  if (shape.name != setup.experts_name) {
    setup.experts.reset();
    const std::vector<uint8_t> numbers = RandomElements(kAct, 2 * shape.hidden * shape.ffn);
    ExpertsSpec spec{.top_k = shape.top_k, .act_dtype = kAct};
    for (int expert = 0; expert < shape.num_experts; ++expert) {
      spec.gate_up.push_back(RandomLinear(*setup.ops, 2 * shape.ffn, shape.hidden, numbers));
      spec.down.push_back(RandomLinear(*setup.ops, shape.hidden, shape.ffn, numbers));
    }
    setup.experts = setup.ops->MakeExperts(std::move(spec)).value();
    setup.experts_name = shape.name;
  }
  return *setup.experts;
}

// Every row takes experts at random.
void BM_Experts(benchmark::State& state, MoeSetup& setup, const ExpertsShape& shape, int64_t t) {
  const Experts& experts = ExpertsOf(setup, shape);
  constexpr int kRoutes = 16;
  std::mt19937 random(1);
  std::vector<std::vector<int32_t>> routes(kRoutes);
  double active = 0;
  for (auto& ids : routes) {
    std::vector<int32_t> all(shape.num_experts);
    std::iota(all.begin(), all.end(), 0);
    for (int64_t row = 0; row < t; ++row) {
      std::shuffle(all.begin(), all.end(), random);
      ids.insert(ids.end(), all.begin(), all.begin() + shape.top_k);
    }
    active += static_cast<double>(std::set<int32_t>(ids.begin(), ids.end()).size()) / kRoutes;
  }
  std::vector<uint8_t> x = RandomElements(kAct, t * shape.hidden);
  std::vector<float> weights(t * shape.top_k, 0.1F);
  std::vector<float> out(t * shape.hidden);
  const auto products = static_cast<double>(t * shape.top_k);
  const Work work{active * static_cast<double>(shape.weights()) * 2,
                  2 * products * static_cast<double>(shape.weights())};
  Report(state, setup.ceilings, setup.isa, setup.Dot(kAct),
         products / active <= 8 ? Bound::kMemory : Bound::kCompute, work, [&](int64_t i) {
           const std::vector<int32_t>& ids = routes[i % kRoutes];
           setup.ops->ApplyExperts(experts, {x.data(), kAct, t, shape.hidden, shape.hidden},
                                   {ids.data(), t * shape.top_k},
                                   {weights.data(), DType::kFloat32, t, shape.top_k, shape.top_k},
                                   {out.data(), DType::kFloat32, t, shape.hidden, shape.hidden});
         });
  state.counters["active"] = active;
}

void BM_Route(benchmark::State& state, MoeSetup& setup, const RouterRules& rules, int64_t t) {
  const RouterParams params{rules, {}};
  const int64_t experts = params.num_experts;
  std::vector<uint8_t> logits = RandomElements(DType::kFloat32, t * experts);
  std::vector<int32_t> ids(t * params.top_k);
  std::vector<float> weights(t * params.top_k);
  const Work work{static_cast<double>(t * experts) * 4, 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work, [&](int64_t /*i*/) {
    setup.ops->Route(params, {logits.data(), DType::kFloat32, t, experts, experts},
                     {ids.data(), t * params.top_k},
                     {weights.data(), DType::kFloat32, t, params.top_k, params.top_k});
  });
}

// Heads of MLA, each with columns of its own: queries into the latent space, or out of it.
void BM_Heads(benchmark::State& state, MoeSetup& setup, int64_t heads, int64_t out, int64_t in,
              int64_t t) {
  const int64_t layer_bytes = heads * out * in * 2;
  const int64_t layers = std::min<int64_t>(kColdBytes / layer_bytes + 1, 64);
  const std::vector<uint8_t> numbers = RandomElements(kAct, out * in);
  std::vector<std::unique_ptr<Linear>> linears;
  for (int64_t i = 0; i < layers * heads; ++i) {
    linears.push_back(RandomLinear(*setup.ops, out, in, numbers));
  }
  std::vector<uint8_t> x = RandomElements(kAct, t * heads * in);
  std::vector<bf16> y(t * heads * out);
  std::vector<std::vector<Product>> groups(layers);
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t h = 0; h < heads; ++h) {
      groups[layer].push_back({linears[layer * heads + h].get(),
                               {x.data() + h * in * 2, kAct, t, in, heads * in},
                               {y.data() + h * out, kAct, t, out, heads * out}});
    }
  }
  const Work work{
      static_cast<double>(layer_bytes) + 2 * static_cast<double>(t * heads * (in + out)),
      2 * static_cast<double>(t * heads * in * out)};
  Report(state, setup.ceilings, setup.isa, setup.Dot(kAct),
         t <= 8 ? Bound::kMemory : Bound::kCompute, work,
         [&](int64_t i) { setup.ops->ApplyGroup(groups[i % layers]); });
}

void Register(MoeSetup& setup) {
  const auto add = [&](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime();
  };
  const ExpertsShape shapes[] = {{"qwen3_30b_a3b", 128, 8, 2048, 768},
                                 {"deepseek_v2_lite", 64, 6, 2048, 1408}};
  for (const ExpertsShape& shape : shapes) {
    for (int64_t t : {1, 8, 64, 512}) {
      add(absl::StrCat("experts/", shape.name, "/T", t),
          [&setup, shape, t](benchmark::State& s) { BM_Experts(s, setup, shape, t); });
    }
  }
  for (int64_t heads : {16, 128}) {
    for (int64_t t : {1, 8, 64, 512}) {
      const std::string name = absl::StrCat("heads/", heads);
      add(absl::StrCat(name, "/128_to_512/T", t),
          [&setup, heads, t](benchmark::State& s) { BM_Heads(s, setup, heads, 512, 128, t); });
      add(absl::StrCat(name, "/512_to_128/T", t),
          [&setup, heads, t](benchmark::State& s) { BM_Heads(s, setup, heads, 128, 512, t); });
    }
  }
  for (int64_t t : {1, 64, 512}) {
    add(absl::StrCat("route/softmax_8_of_128/T", t), [&setup, t](benchmark::State& s) {
      BM_Route(s, setup, {.num_experts = 128, .top_k = 8, .normalise = true}, t);
    });
    add(absl::StrCat("route/sigmoid_groups_8_of_256/T", t), [&setup, t](benchmark::State& s) {
      BM_Route(s, setup,
               {.num_experts = 256,
                .top_k = 8,
                .scoring = Scoring::kSigmoid,
                .normalise = true,
                .num_groups = 8,
                .top_groups = 4,
                .group_score = GroupScore::kTopTwoSum},
               t);
    });
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  MoeSetup setup(ParseSetupFlags(argc, argv));
  Register(setup);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
