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

}  // namespace
}  // namespace quire
