// The oracle against sums done by hand.
#include "ops/reference/reference_ops.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;

class ReferenceOpsTest : public ::testing::Test {
 protected:
  ThreadPool pool_{1};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeReferenceOps(memory_);
};

TEST_F(ReferenceOpsTest, PartsAreMergedRowAfterRowWithTheirBiases) {
  const std::vector<float> a = {1, 2, 3, 4};           // [2, 2]
  const std::vector<bf16> b = {ToBf16(5), ToBf16(6)};  // [1, 2]
  const std::vector<float> b_bias = {100};
  LinearSpec spec{"test", 2, {}, DType::kFloat32};
  spec.parts.push_back({a.data(), DType::kFloat32, 2, nullptr, DType::kFloat32});
  spec.parts.push_back({b.data(), DType::kBFloat16, 1, b_bias.data(), DType::kFloat32});
  const auto linear = ops_->MakeLinear(spec).value();
  EXPECT_EQ(linear->out_features(), 3);
  HostMatrix x(DType::kFloat32, 1, 2);
  x.set(0, 0, 10);
  x.set(0, 1, 1);
  HostMatrix y(DType::kFloat32, 1, 3);
  ops_->Apply(*linear, x.view(), y.view());
  EXPECT_EQ(y.at(0, 0), 12);
  EXPECT_EQ(y.at(0, 1), 34);
  EXPECT_EQ(y.at(0, 2), 156);
}

TEST_F(ReferenceOpsTest, ATiedEmbeddingReadsTheLinearsRows) {
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};  // [3, 2]
  LinearSpec spec{
      "lm_head", 2, {{w.data(), DType::kFloat32, 3, nullptr, DType::kFloat32}}, DType::kBFloat16};
  const auto linear = ops_->MakeLinear(spec).value();
  const auto table = ops_->TieEmbedding(*linear);
  EXPECT_EQ(table->bytes(), 0U);
  const std::vector<int32_t> ids = {2, 0};
  HostMatrix out(DType::kFloat32, 2, 2);
  ops_->Embed(*table, {ids.data(), 2}, {}, out.view());
  EXPECT_EQ(out.at(0, 0), 5);
  EXPECT_EQ(out.at(0, 1), 6);
  EXPECT_EQ(out.at(1, 1), 2);
}

TEST_F(ReferenceOpsTest, RmsNormDividesByTheRootMeanSquare) {
  const Norm norm{
      NormKind::kRms, ops_->MakeVector(std::vector<float>{1.0F, 2.0F}).value(), {}, 0.5F};
  HostMatrix x(DType::kFloat32, 1, 2);
  x.set(0, 0, 3);
  x.set(0, 1, 4);
  HostMatrix delta(DType::kBFloat16, 1, 2);
  delta.set(0, 0, 1);
  delta.set(0, 1, -1);
  HostMatrix out(DType::kFloat32, 1, 2);
  ops_->AddNormalise(
      {.residual = x.view(), .delta = delta.view(), .norm = norm, .out = out.view()});
  EXPECT_EQ(x.at(0, 0), 4);
  EXPECT_EQ(x.at(0, 1), 3);
  const double scale = 1.0 / std::sqrt(12.5 + 0.5);
  EXPECT_FLOAT_EQ(out.at(0, 0), static_cast<float>(4 * scale));
  EXPECT_FLOAT_EQ(out.at(0, 1), static_cast<float>(6 * scale));
}

TEST_F(ReferenceOpsTest, AGatedActivationTakesTheGateFromTheFirstHalf) {
  HostMatrix gate_up(DType::kFloat32, 1, 4);
  gate_up.set(0, 0, 0);
  gate_up.set(0, 1, 2);
  gate_up.set(0, 2, 5);
  gate_up.set(0, 3, 3);
  HostMatrix out(DType::kFloat32, 1, 2);
  ops_->GatedActivation({}, gate_up.view(), out.view());
  EXPECT_EQ(out.at(0, 0), 0);
  EXPECT_FLOAT_EQ(out.at(0, 1), static_cast<float>(6 / (1 + std::exp(-2.0))));
}

TEST_F(ReferenceOpsTest, ALayerNormTakesTheMeanAway) {
  const Norm norm{NormKind::kLayer, ops_->MakeVector(std::vector<float>{1.0F, 2.0F}).value(),
                  ops_->MakeVector(std::vector<float>{10.0F, 20.0F}).value(), 3.0F};
  HostMatrix x(DType::kFloat32, 1, 2);
  x.set(0, 0, 3);
  x.set(0, 1, 5);
  HostMatrix out(DType::kFloat32, 1, 2);
  ops_->Normalise(x.view(), norm, out.view());
  EXPECT_EQ(out.at(0, 0), 9.5F);  // (3 - 4) / sqrt(1 + 3) + 10
  EXPECT_EQ(out.at(0, 1), 21);
}

TEST_F(ReferenceOpsTest, ActivationsAreTheirFormulas) {
  HostMatrix x(DType::kFloat32, 1, 2);
  x.set(0, 0, -1.5F);
  x.set(0, 1, 0.5F);
  HostMatrix out(DType::kFloat32, 1, 2);
  ops_->Activate({Activation::kGeluTanh}, x.view(), out.view());
  EXPECT_FLOAT_EQ(out.at(0, 0), -0.10042842F);  // torch.nn.functional.gelu(x, "tanh")
  EXPECT_FLOAT_EQ(out.at(0, 1), 0.34571400F);
  ops_->Activate({Activation::kGeluExact}, x.view(), out.view());
  EXPECT_FLOAT_EQ(out.at(0, 0), -0.10021080F);
  EXPECT_FLOAT_EQ(out.at(0, 1), 0.34573123F);
  ops_->Activate({Activation::kRelu}, x.view(), out.view());
  EXPECT_EQ(out.at(0, 0), 0);
  EXPECT_EQ(out.at(0, 1), 0.5F);
  HostMatrix gate_up(DType::kFloat32, 1, 2);
  gate_up.set(0, 0, 9);
  gate_up.set(0, 1, -8);
  HostMatrix gated(DType::kFloat32, 1, 1);
  ops_->GatedActivation({Activation::kClampedSwiglu, 7.0F, 1.702F}, gate_up.view(), gated.view());
  EXPECT_FLOAT_EQ(gated.at(0, 0), static_cast<float>(-6 * 7 / (1 + std::exp(-1.702 * 7))));
}

// Groups {0, 1}, {2, 3}, {4, 5}. The bias makes group 2 the best by two experts; by the best expert
// alone it is group 0.
TEST_F(ReferenceOpsTest, GroupsAreChosenFirstAndTheBiasOnlyChooses) {
  HostMatrix logits(DType::kFloat32, 1, 6);
  for (int i = 0; i < 6; ++i)
    logits.set(0, i, static_cast<float>(i == 0 ? 3 : i == 1 ? -9 : i) / 4);
  RouterParams params{{.num_experts = 6,
                       .top_k = 2,
                       .scoring = Scoring::kSigmoid,
                       .normalise = true,
                       .scale = 3.0F,
                       .num_groups = 3,
                       .top_groups = 1,
                       .group_score = GroupScore::kTopTwoSum},
                      {}};
  params.correction_bias = ops_->MakeVector(std::vector<float>{1, 0, 0, 0, 0.5F, 0.6F}).value();
  std::vector<int32_t> ids(2);
  HostMatrix weights(DType::kFloat32, 1, 2);
  ops_->Route(params, logits.view(), {ids.data(), 2}, weights.view());
  EXPECT_EQ(ids, (std::vector<int32_t>{5, 4}));
  const double a = 1 / (1 + std::exp(-1.25));
  const double b = 1 / (1 + std::exp(-1.0));
  EXPECT_FLOAT_EQ(weights.at(0, 0), static_cast<float>(3 * a / (a + b)));
  EXPECT_FLOAT_EQ(weights.at(0, 1), static_cast<float>(3 * b / (a + b)));
  params.group_score = GroupScore::kMax;
  ops_->Route(params, logits.view(), {ids.data(), 2}, weights.view());
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1}));
}

TEST_F(ReferenceOpsTest, TheSoftmaxIsOverAllOrOverTheChosen) {
  HostMatrix logits(DType::kFloat32, 1, 3);
  for (int i = 0; i < 3; ++i) logits.set(0, i, std::log(static_cast<float>(i + 1)));
  std::vector<int32_t> ids(2);
  HostMatrix weights(DType::kFloat32, 1, 2);
  ops_->Route({{.num_experts = 3, .top_k = 2}, {}}, logits.view(), {ids.data(), 2}, weights.view());
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 1}));
  EXPECT_FLOAT_EQ(weights.at(0, 0), 3.0F / 6);
  EXPECT_FLOAT_EQ(weights.at(0, 1), 2.0F / 6);
  ops_->Route({{.num_experts = 3, .top_k = 2, .scoring = Scoring::kSoftmaxOfChosen}, {}},
              logits.view(), {ids.data(), 2}, weights.view());
  EXPECT_FLOAT_EQ(weights.at(0, 0), 3.0F / 5);
  EXPECT_FLOAT_EQ(weights.at(0, 1), 2.0F / 5);
}

TEST_F(ReferenceOpsTest, GatherRowsMayRepeatRows) {
  HostMatrix x(DType::kFloat32, 3, 1);
  for (int i = 0; i < 3; ++i) x.set(i, 0, static_cast<float>(i));
  const std::vector<int32_t> rows = {2, 2, 0};
  HostMatrix out(DType::kFloat32, 3, 1);
  ops_->GatherRows(x.view(), {rows.data(), 3}, out.view());
  EXPECT_EQ(out.at(0, 0), 2);
  EXPECT_EQ(out.at(1, 0), 2);
  EXPECT_EQ(out.at(2, 0), 0);
}

TEST_F(ReferenceOpsTest, SumRowsAddsEachRowToWhatIsThere) {
  HostMatrix x(DType::kFloat32, 2, 2);
  x.set(0, 0, 1);
  x.set(0, 1, 2);
  x.set(1, 0, 10);
  x.set(1, 1, 20);
  std::vector<float> sum = {100, 200};
  ops_->SumRows(x.view(), absl::MakeSpan(sum));
  EXPECT_EQ(sum, (std::vector<float>{111, 222}));
}

}  // namespace
}  // namespace quire
