// Nothing is allocated on the step path.
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/cpu_sampler.h"
#include "ops/cpu/gemm.h"
#include "tests/testing/allocations.h"
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::Allocations;
using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;

class CpuAllocationTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  void SetUp() override {
    if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  }

  ThreadPool pool_{2};
  HostMemory memory_{pool_};
};

TEST_P(CpuAllocationTest, ProductsAllocateNothing) {
  CpuOpsOptions options;
  options.max_rows = 300;
  options.use_onednn = false;  // see the next test
  const auto ops = MakeCpuOps(pool_, memory_, GetParam(), options);
  for (DType act : {DType::kBFloat16, DType::kFloat32}) {
    const LinearSource source(128, act, {{600, act, true}});
    const auto linear = ops->MakeLinear(source.spec()).value();
    HostMatrix x(act, 300, 128);
    x.FillNormal(1);
    HostMatrix y(act, 300, 600);
    HostMatrix other_y(act, 300, 600);
    const int64_t before = Allocations();
    for (int64_t m : {1, 5, 40, 300}) {
      ops->Apply(*linear, x.view().Rows(0, m), y.view().Rows(0, m));
      const Product group[] = {{linear.get(), x.view().Rows(0, m), y.view().Rows(0, m)},
                               {linear.get(), x.view().Rows(0, m), other_y.view().Rows(0, m)}};
      ops->ApplyGroup(group);
    }
    EXPECT_EQ(Allocations() - before, 0);
  }
}

// As a server runs: what is allocated is what oneDNN itself allocates in each of its products.
TEST(CpuOneDnnAllocationTest, OnlyOneDnnAllocates) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  if (DetectCpu().widest != CpuIsa::kAvx512Bf16) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  const int64_t k = 512;
  const int64_t out = 640;  // 10 panels: for two threads so few that each is a product of its own
  const auto product = DnnlProduct::Make(DType::kBFloat16, k, 256, 1, 1);
  if (product == nullptr) GTEST_SKIP() << "this oneDNN has no product that qualifies";
  ThreadPool pool(2);
  HostMemory memory(pool);
  const LinearSource source(k, DType::kBFloat16, {{out, DType::kBFloat16, true}});
  HostMatrix x(DType::kBFloat16, 300, k);
  x.FillNormal(1);
  HostMatrix y(DType::kBFloat16, 300, out);
  HostMatrix sums(DType::kFloat32, 256, 64);
  const auto linear =
      PackedLinear::Pack(source.spec(), OpsKernelsFor(CpuIsa::kAvx512Bf16), pool, memory).value();
  Gemm gemm(CpuIsa::kAvx512Bf16, pool, memory, 300, /*use_onednn=*/true);
  ASSERT_TRUE(gemm.Prepare(*linear).ok());
  ASSERT_TRUE(gemm.UsesOneDnn(*linear));
  const auto allocated = [&](auto run) {
    for (int i = 0; i < 20; ++i) run();  // on each thread
    const int64_t before = Allocations();
    run();
    return Allocations() - before;
  };
  const int64_t of_a_product = allocated([&] {
    product->Run(0, x.view().data, linear->panel(0), static_cast<float*>(sums.view().data));
  });
  const Product all{linear.get(), x.view(), y.view()};
  const int64_t of_all = allocated([&] { gemm.Run(absl::MakeConstSpan(&all, 1)); });
  EXPECT_EQ(of_all, 10 * of_a_product);
}

TEST_P(CpuAllocationTest, RowOpsAllocateNothing) {
  const auto ops = MakeCpuOps(pool_, memory_, GetParam(), {});
  const LinearSource source(100, DType::kBFloat16, {{200, DType::kBFloat16, false}});
  const auto linear = ops->MakeLinear(source.spec()).value();
  const auto tied = ops->TieEmbedding(*linear);
  const auto table = ops->MakeEmbedding(source.spec().parts[0], 100, DType::kBFloat16).value();
  Norm norm{NormKind::kLayer, ops->MakeVector(std::vector<float>(100, 1.0F)).value(),
            ops->MakeVector(std::vector<float>(100, 1.0F)).value(), 1e-6F};
  const std::vector<int32_t> ids(200, 7);
  HostMatrix x(DType::kFloat32, 200, 100);
  x.FillNormal(1);
  HostMatrix out(DType::kBFloat16, 200, 100);
  HostMatrix wide(DType::kFloat32, 200, 100);
  HostMatrix gate_up(DType::kBFloat16, 200, 200);
  gate_up.FillNormal(2);
  HostMatrix gate(DType::kBFloat16, 200, 1);
  gate.FillNormal(3);
  const int64_t before = Allocations();
  ops->Embed(*tied, {ids.data(), 200}, {}, wide.view());
  ops->Embed(*table, {ids.data(), 200}, {}, wide.view());
  ops->Normalise(x.view(), norm, out.view());
  ops->AddNormalise({x.view(), wide.view(), 1.0F, norm, out.view(), true});
  ops->GatedActivation({}, gate_up.view(), out.view());
  ops->Activate({Activation::kGeluExact}, out.view(), out.view());
  ops->AddTo(out.view(), 2.0F, x.view());
  ops->AddSigmoidGated(out.view(), gate.view(), x.view());
  ops->SoftcapLogits(x.view(), 1.0F, 30.0F);
  ops->GatherRows(x.view(), {ids.data(), 200}, wide.view());
  EXPECT_EQ(Allocations() - before, 0);
}

TEST_P(CpuAllocationTest, ExpertsAllocateNothing) {
  CpuOpsOptions options;
  options.max_rows = 100;
  options.use_onednn = false;
  const auto ops = MakeCpuOps(pool_, memory_, GetParam(), options);
  ExpertsSpec spec{.top_k = 3};
  const LinearSource up(64, DType::kBFloat16, {{96, DType::kBFloat16, true}});
  const LinearSource down(48, DType::kBFloat16, {{64, DType::kBFloat16, true}});
  for (int expert = 0; expert < 10; ++expert) {
    spec.gate_up.push_back(ops->MakeLinear(up.spec()).value());
    spec.down.push_back(ops->MakeLinear(down.spec()).value());
  }
  const auto experts = ops->MakeExperts(std::move(spec)).value();
  RouterParams router{{.num_experts = 10, .top_k = 3, .num_groups = 5, .top_groups = 3}, {}};
  HostMatrix logits(DType::kFloat32, 100, 10);
  logits.FillNormal(1);
  HostMatrix x(DType::kBFloat16, 100, 64);
  x.FillNormal(2);
  std::vector<int32_t> ids(300);
  HostMatrix weights(DType::kFloat32, 100, 3);
  HostMatrix out(DType::kFloat32, 100, 64);
  const int64_t before = Allocations();
  for (int64_t rows : {1, 7, 100}) {
    ops->Route(router, logits.view().Rows(0, rows), {ids.data(), 3 * rows},
               weights.view().Rows(0, rows));
    ops->ApplyExperts(*experts, x.view().Rows(0, rows), {ids.data(), 3 * rows},
                      weights.view().Rows(0, rows), out.view().Rows(0, rows));
  }
  EXPECT_EQ(Allocations() - before, 0);
}

// Every way through the sampler. A caller that hands the same results again, as here, keeps the
// room of `top`.
TEST_P(CpuAllocationTest, DrawsAllocateNothingAfterTheFirst) {
  const int64_t vocab = 5000;
  HostMatrix logits(DType::kFloat32, 4, vocab);
  logits.FillNormal(1);
  std::vector<SamplingParams> params(6);
  params[0].temperature = 0;
  params[1].temperature = 0.7F;
  params[2].top_k = 40;
  params[3].top_k = 500;
  params[3].top_p = 0.9F;
  params[4].min_p = 0.01F;
  params[4].top_p = 0.5F;
  params[5].repetition_penalty = 1.1F;
  params[5].presence_penalty = 0.5F;
  params[5].frequency_penalty = 0.5F;
  params[5].logit_bias = {{3, 1.0F}};
  const std::vector<TokenId> text = {1, 2, 3, 4, 1};
  std::vector<SampleRow> rows;
  for (size_t i = 0; i < params.size(); ++i) {
    rows.push_back({.logits_row = static_cast<int64_t>(i) % 4,
                    .params = &params[i],
                    .prompt = text,
                    .output = text,
                    .top_logprobs = 20});
  }
  const std::vector<TokenId> targets = {0, 1, 2, 3};
  std::vector<SampledToken> drawn(rows.size());
  std::vector<TokenLogprobs> scored(4);
  const auto sampler = MakeCpuSampler(pool_, GetParam(), vocab);
  const auto step = [&] {
    sampler->Sample(logits.view(), rows, absl::MakeSpan(drawn));
    sampler->Score(logits.view(), targets, 20, absl::MakeSpan(scored));
  };
  step();
  const int64_t before = Allocations();
  for (int i = 0; i < 3; ++i) {
    for (SampleRow& row : rows) ++row.output_position;
    step();
  }
  EXPECT_EQ(Allocations() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuAllocationTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
