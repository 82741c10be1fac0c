// Ops of the CPU backend at the shapes of Qwen3-0.6B, over working sets that no cache holds.
//
//   ops_bench [--isa=auto] [--threads=N] [google benchmark flags]
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/ops/ceilings.h"
#include "bench/ops/ops_setup.h"
#include "benchmark/benchmark.h"
#include "core/check.h"

namespace quire::bench {
namespace {

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

struct LinearSetup : OpsSetup {
  using OpsSetup::OpsSetup;
  // The last shape's weights: its cases follow each other.
  std::string weights_key;
  std::unique_ptr<ColdLinears> weights;
};

const ColdLinears& Weights(LinearSetup& setup, DType dtype, int64_t n, int64_t k) {
  const std::string key = absl::StrCat(DTypeName(dtype), n, "x", k);
  if (key != setup.weights_key) {
    setup.weights.reset();
    setup.weights = std::make_unique<ColdLinears>(*setup.ops, dtype, n, k);
    setup.weights_key = key;
  }
  return *setup.weights;
}

void BM_Linear(benchmark::State& state, LinearSetup& setup, DType dtype, int64_t n, int64_t k,
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

void BM_AddNormalise(benchmark::State& state, LinearSetup& setup, NormKind kind, int64_t t) {
  constexpr int64_t kWidth = 1024;
  const std::vector<float> ones(kWidth, 1.0F);
  const Norm norm{kind, setup.ops->MakeVector(ones).value(),
                  kind == NormKind::kLayer ? setup.ops->MakeVector(ones).value() : DeviceVector(),
                  1e-6F};
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

void BM_GatedActivation(benchmark::State& state, LinearSetup& setup, Activation kind, int64_t t) {
  constexpr int64_t kWidth = 3072;
  std::vector<uint8_t> gate_up = RandomElements(DType::kBFloat16, t * 2 * kWidth);
  std::vector<bf16> out(t * kWidth);
  const Work work{static_cast<double>(t * kWidth) * 6, 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work, [&](int64_t /*i*/) {
    setup.ops->GatedActivation({kind},
                               {gate_up.data(), DType::kBFloat16, t, 2 * kWidth, 2 * kWidth},
                               {out.data(), DType::kBFloat16, t, kWidth, kWidth});
  });
}

void BM_Softcap(benchmark::State& state, LinearSetup& setup, int64_t t) {
  constexpr int64_t kVocabulary = 256000;
  std::vector<float> logits(t * kVocabulary, 1.0F);
  const Work work{static_cast<double>(t * kVocabulary) * 8, 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work, [&](int64_t /*i*/) {
    setup.ops->SoftcapLogits({logits.data(), DType::kFloat32, t, kVocabulary, kVocabulary}, 1.0F,
                             30.0F);
  });
}

void BM_TiedEmbed(benchmark::State& state, LinearSetup& setup, int64_t t) {
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

// A checkpoint's worth of packing, memory included: plain rows of `source`.
void BM_Pack(benchmark::State& state, LinearSetup& setup, DType source, DType act) {
  constexpr int64_t kOut = 151936;
  constexpr int64_t kIn = 1024;
  const std::vector<uint8_t> weight = RandomElements(source, kOut * kIn);
  LinearSpec spec{"bench", kIn, {{weight.data(), source, kOut, nullptr, source}}, act};
  const auto bytes = static_cast<double>(kOut * kIn);
  const Work work{bytes * static_cast<double>(DTypeBytes(source) + DTypeBytes(act)), 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work,
         [&](int64_t /*i*/) { benchmark::DoNotOptimize(setup.ops->MakeLinear(spec).value()); });
}

// Gate and up of gpt-oss's experts, in bf16 [in, 2 F] in turns or in MXFP4.
void BM_PackInTurns(benchmark::State& state, LinearSetup& setup, bool mxfp4) {
  constexpr int64_t kFfn = 2880 * 8;
  constexpr int64_t kIn = 2880;
  const std::vector<uint8_t> weight = RandomElements(DType::kBFloat16, 2 * kFfn * kIn);
  const std::vector<uint8_t> scales(2 * kFfn * kIn / kMxfp4Block, 120);
  LinearSpec spec{"bench", kIn, {}, DType::kBFloat16};
  for (int64_t part : {0, 1}) {
    WeightRows rows{weight.data(), DType::kBFloat16, kFfn};
    if (mxfp4) {
      rows.weight = weight.data() + part * kIn / 2;
      rows.row_stride = 2 * kIn;
      rows.mxfp4_scales = scales.data() + part * kIn / kMxfp4Block;
    } else {
      rows.weight = weight.data() + part * 2;
      rows.row_stride = 2;
      rows.col_stride = 2 * kFfn;
    }
    spec.parts.push_back(rows);
  }
  const Work work{static_cast<double>(2 * kFfn * kIn) * (mxfp4 ? 2.53 : 4), 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work,
         [&](int64_t /*i*/) { benchmark::DoNotOptimize(setup.ops->MakeLinear(spec).value()); });
}

void BM_ForkJoin(benchmark::State& state, LinearSetup& setup) {
  for (auto _ : state) {
    setup.pool.ParallelFor(setup.pool.num_threads(),
                           [](int64_t task, int /*thread*/) { benchmark::DoNotOptimize(task); });
  }
}

void Register(LinearSetup& setup) {
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
    for (const auto& [name, kind] :
         {std::pair("rms", NormKind::kRms), std::pair("layer", NormKind::kLayer)}) {
      add(absl::StrCat("add_normalise/", name, "/T", t),
          [&setup, kind = kind, t](auto& s) { BM_AddNormalise(s, setup, kind, t); });
    }
    for (const auto& [name, kind] :
         {std::pair("silu", Activation::kSilu), std::pair("gelu_tanh", Activation::kGeluTanh),
          std::pair("gelu_exact", Activation::kGeluExact), std::pair("relu", Activation::kRelu),
          std::pair("clamped_swiglu", Activation::kClampedSwiglu)}) {
      add(absl::StrCat("gated_activation/", name, "/T", t),
          [&setup, kind = kind, t](auto& s) { BM_GatedActivation(s, setup, kind, t); });
    }
  }
  for (int64_t t : {1, 32}) {
    add(absl::StrCat("softcap/T", t),
        [&setup, t](benchmark::State& s) { BM_Softcap(s, setup, t); });
  }
  add("pack/bf16_to_bf16",
      [&setup](benchmark::State& s) { BM_Pack(s, setup, DType::kBFloat16, DType::kBFloat16); });
  add("pack/f32_to_bf16",
      [&setup](benchmark::State& s) { BM_Pack(s, setup, DType::kFloat32, DType::kBFloat16); });
  for (bool mxfp4 : {false, true}) {
    add(mxfp4 ? "pack/mxfp4" : "pack/in_by_out_in_turns",
        [&setup, mxfp4](benchmark::State& s) { BM_PackInTurns(s, setup, mxfp4); });
  }
  benchmark::RegisterBenchmark("fork_join",
                               [&setup](benchmark::State& s) { BM_ForkJoin(s, setup); });
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  LinearSetup setup(ParseSetupFlags(argc, argv));
  Register(setup);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
