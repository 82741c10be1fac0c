// Ops of the CPU backend at the shapes of Qwen3-0.6B, over working sets that no cache holds.
//
//   ops_bench [--isa=auto] [--threads=N] [google benchmark flags]
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/ops/ceilings.h"
#include "bench/ops/setup.h"
#include "benchmark/benchmark.h"
#include "core/check.h"
#include "core/cpu/cpu_isa.h"
#include "ops/cpu/cpu_ops.h"

namespace quire::bench {
namespace {

constexpr int64_t kMaxRows = 512;

std::vector<uint8_t> RandomElements(DType dtype, int64_t count) {
  std::vector<uint8_t> bytes(count * DTypeBytes(dtype));
  FillRandom(bytes.data(), dtype, count);
  return bytes;
}

// Enough copies of one weight that none is still in a cache when its turn comes again.
class ColdLinears {
 public:
  ColdLinears(Ops& ops, DType dtype, int64_t out_features, int64_t in_features) {
    const std::vector<uint8_t> weight = RandomElements(dtype, out_features * in_features);
    LinearSpec spec{"bench", in_features, {}, dtype};
    spec.parts.push_back({weight.data(), dtype, out_features, nullptr, dtype});
    const auto bytes = static_cast<int64_t>(weight.size());
    for (int64_t held = 0; held < kColdBytes; held += bytes) {
      auto linear = ops.MakeLinear(spec);
      QUIRE_CHECK(linear.ok()) << linear.status();
      linears_.push_back(*std::move(linear));
    }
  }
  const Linear& Next(int64_t i) const { return *linears_[i % linears_.size()]; }

 private:
  std::vector<std::unique_ptr<Linear>> linears_;
};

struct OpsSetup : Setup {
  explicit OpsSetup(const SetupFlags& flags)
      : Setup(flags), ops(MakeCpuOps(pool, memory, isa, {kMaxRows})) {}
  bool Dot(DType dtype) const { return isa == CpuIsa::kAvx512Bf16 && dtype == DType::kBFloat16; }

  std::unique_ptr<Ops> ops;
  // The last shape's weights: its cases follow each other.
  std::string weights_key;
  std::unique_ptr<ColdLinears> weights;
};

const ColdLinears& Weights(OpsSetup& setup, DType dtype, int64_t n, int64_t k) {
  const std::string key = absl::StrCat(DTypeName(dtype), n, "x", k);
  if (key != setup.weights_key) {
    setup.weights.reset();
    setup.weights = std::make_unique<ColdLinears>(*setup.ops, dtype, n, k);
    setup.weights_key = key;
  }
  return *setup.weights;
}

void BM_Linear(benchmark::State& state, OpsSetup& setup, DType dtype, int64_t n, int64_t k,
               int64_t m) {
  const ColdLinears& linears = Weights(setup, dtype, n, k);
  std::vector<uint8_t> x = RandomElements(dtype, m * k);
  std::vector<uint8_t> y(m * n * DTypeBytes(dtype));
  const auto element = static_cast<double>(DTypeBytes(dtype));
  const Work work{(static_cast<double>(n * k) + static_cast<double>(m * (n + k))) * element,
                  2.0 * static_cast<double>(m * n * k)};
  Report(
      state, setup.ceilings, setup.isa, setup.Dot(dtype), m <= 8 ? Bound::kMemory : Bound::kCompute,
      work, [&](int64_t i) {
        setup.ops->Apply(linears.Next(i), {x.data(), dtype, m, k, k}, {y.data(), dtype, m, n, n});
      });
}

void BM_AddRmsNorm(benchmark::State& state, OpsSetup& setup, int64_t t) {
  constexpr int64_t kWidth = 1024;
  const Norm norm{
      NormKind::kRms, setup.ops->MakeVector(std::vector<float>(kWidth, 1.0F)).value(), {}, 1e-6F};
  std::vector<float> residual(t * kWidth, 1.0F);
  std::vector<bf16> delta(t * kWidth, ToBf16(0.001F));
  std::vector<bf16> out(t * kWidth);
  const Work work{static_cast<double>(t * kWidth) * (4 + 4 + 2 + 2), 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work, [&](int64_t /*i*/) {
    setup.ops->AddNormalise({.residual = {residual.data(), DType::kFloat32, t, kWidth, kWidth},
                             .delta = {delta.data(), DType::kBFloat16, t, kWidth, kWidth},
                             .norm = norm,
                             .out = {out.data(), DType::kBFloat16, t, kWidth, kWidth}});
  });
}

void BM_SiluMul(benchmark::State& state, OpsSetup& setup, int64_t t) {
  constexpr int64_t kWidth = 3072;
  std::vector<uint8_t> gate_up = RandomElements(DType::kBFloat16, t * 2 * kWidth);
  std::vector<bf16> out(t * kWidth);
  const Work work{static_cast<double>(t * kWidth) * 6, 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work, [&](int64_t /*i*/) {
    setup.ops->GatedActivation({}, {gate_up.data(), DType::kBFloat16, t, 2 * kWidth, 2 * kWidth},
                               {out.data(), DType::kBFloat16, t, kWidth, kWidth});
  });
}

void BM_TiedEmbed(benchmark::State& state, OpsSetup& setup, int64_t t) {
  constexpr int64_t kWidth = 1024;
  constexpr int64_t kVocabulary = 151936;
  const ColdLinears& linears = Weights(setup, DType::kBFloat16, kVocabulary, kWidth);
  const std::unique_ptr<Embedding> table = setup.ops->TieEmbedding(linears.Next(0));
  std::vector<int32_t> ids(t);
  std::mt19937 random(3);
  std::vector<float> out(t * kWidth);
  const Work work{static_cast<double>(t * kWidth) * 6, 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work, [&](int64_t /*i*/) {
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % kVocabulary);
    setup.ops->Embed(*table, {ids.data(), t}, {}, {out.data(), DType::kFloat32, t, kWidth, kWidth});
  });
}

// A checkpoint's worth of packing, memory included.
void BM_Pack(benchmark::State& state, OpsSetup& setup, DType source, DType act) {
  constexpr int64_t kOut = 151936;
  constexpr int64_t kIn = 1024;
  const std::vector<uint8_t> weight = RandomElements(source, kOut * kIn);
  LinearSpec spec{"bench", kIn, {{weight.data(), source, kOut, nullptr, source}}, act};
  const auto bytes = static_cast<double>(kOut * kIn);
  const Work work{bytes * static_cast<double>(DTypeBytes(source) + DTypeBytes(act)), 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work,
         [&](int64_t /*i*/) { benchmark::DoNotOptimize(setup.ops->MakeLinear(spec).value()); });
}

void BM_ForkJoin(benchmark::State& state, OpsSetup& setup) {
  for (auto _ : state) {
    setup.pool.ParallelFor(setup.pool.num_threads(),
                           [](int64_t task, int /*thread*/) { benchmark::DoNotOptimize(task); });
  }
}

void Register(OpsSetup& setup) {
  const auto add = [&](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime();
  };
  const int64_t shapes[][2] = {
      {4096, 1024}, {1024, 2048}, {6144, 1024}, {1024, 3072}, {151936, 1024}};
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (const auto& shape : shapes) {
      const int64_t n = shape[0];
      const int64_t k = shape[1];
      for (int64_t m : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}) {
        if (n > 100000 && m > 64) continue;  // only sampled rows meet the vocabulary
        add(absl::StrCat("linear/", DTypeName(dtype), "/", n, "x", k, "/M", m),
            [&setup, dtype, n, k, m](benchmark::State& s) { BM_Linear(s, setup, dtype, n, k, m); });
      }
    }
  }
  for (int64_t t : {1, 64, 512}) {
    add(absl::StrCat("tied_embed/T", t),
        [&setup, t](benchmark::State& s) { BM_TiedEmbed(s, setup, t); });
    add(absl::StrCat("add_rms_norm/T", t),
        [&setup, t](benchmark::State& s) { BM_AddRmsNorm(s, setup, t); });
    add(absl::StrCat("silu_mul/T", t),
        [&setup, t](benchmark::State& s) { BM_SiluMul(s, setup, t); });
  }
  add("pack/bf16_to_bf16",
      [&setup](benchmark::State& s) { BM_Pack(s, setup, DType::kBFloat16, DType::kBFloat16); });
  add("pack/f32_to_bf16",
      [&setup](benchmark::State& s) { BM_Pack(s, setup, DType::kFloat32, DType::kBFloat16); });
  benchmark::RegisterBenchmark("fork_join",
                               [&setup](benchmark::State& s) { BM_ForkJoin(s, setup); });
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  OpsSetup setup(ParseSetupFlags(argc, argv));
  Register(setup);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
