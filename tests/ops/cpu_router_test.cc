// The choice of experts on the CPU against the reference.
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;

struct Family {
  std::string name;
  RouterParams params;
  bool has_bias = false;
};

std::vector<Family> Families() {
  std::vector<Family> families;
  const auto add = [&](const char* name, const RouterRules& rules, bool has_bias) {
    families.push_back({name, {rules, {}}, has_bias});
  };
  add("mixtral", {.num_experts = 8, .top_k = 2, .normalise = true}, false);
  add("qwen2_moe", {.num_experts = 60, .top_k = 4}, false);
  add("qwen3_moe", {.num_experts = 128, .top_k = 8, .normalise = true}, false);
  add("gpt_oss", {.num_experts = 32, .top_k = 4, .scoring = Scoring::kSoftmaxOfChosen}, false);
  add("deepseek_v2",
      {.num_experts = 160, .top_k = 6, .scale = 16.0F, .num_groups = 8, .top_groups = 3}, false);
  add("deepseek_v3",
      {.num_experts = 256,
       .top_k = 8,
       .scoring = Scoring::kSigmoid,
       .normalise = true,
       .scale = 2.5F,
       .num_groups = 8,
       .top_groups = 4,
       .group_score = GroupScore::kTopTwoSum},
      true);
  add("glm4_moe",
      {.num_experts = 128,
       .top_k = 8,
       .scoring = Scoring::kSigmoid,
       .normalise = true,
       .group_score = GroupScore::kTopTwoSum},
      true);
  add("all of an odd number", {.num_experts = 37, .top_k = 37, .normalise = true}, true);
  add("one of one", {.num_experts = 1, .top_k = 1}, false);
  return families;
}

class CpuRouterTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  void AddBias(Family& family) {
    if (!family.has_bias) return;
    std::mt19937 random(4);
    std::normal_distribution<float> normal(0.0F, 0.3F);
    std::vector<float> bias(family.params.num_experts);
    for (float& value : bias) value = normal(random);
    family.params.correction_bias = ops_->MakeVector(bias).value();
  }

  struct Routes {
    Routes(int64_t rows, int k) : ids(rows * k, -1), weights(DType::kFloat32, rows, k, k + 3) {}
    std::vector<int32_t> ids;
    HostMatrix weights;
  };
  static Routes Route(Ops& ops, const RouterParams& params, const DeviceMatrix& logits) {
    Routes routes(logits.rows, params.top_k);
    ops.Route(params, logits, {routes.ids.data(), static_cast<int64_t>(routes.ids.size())},
              routes.weights.view());
    return routes;
  }

  ThreadPool pool_{3};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeCpuOps(pool_, memory_, GetParam(), {});
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_P(CpuRouterTest, EveryFamilyMatchesTheReference) {
  for (Family& family : Families()) {
    AddBias(family);
    const RouterParams& params = family.params;
    HostMatrix logits(DType::kFloat32, 100, params.num_experts, params.num_experts + 5);
    logits.FillNormal(7, 2.0F);
    const Routes got = Route(*ops_, params, logits.view());
    const Routes want = Route(*reference_, params, logits.view());
    EXPECT_EQ(got.ids, want.ids) << family.name;
    EXPECT_TRUE(testing::Near(got.weights, want.weights, [&](int64_t r, int64_t c) {
      return 32 * 0x1p-24 * std::fabs(want.weights.at(r, c));
    })) << family.name;
  }
}

TEST_P(CpuRouterTest, EqualsGoToTheLowestIds) {
  for (Family& family : Families()) {
    const RouterParams& params = family.params;
    HostMatrix logits(DType::kFloat32, 2, params.num_experts);
    for (int i = 0; i < params.num_experts; ++i) {
      logits.set(0, i, 1.5F);
      logits.set(1, i, -INFINITY);
    }
    const Routes got = Route(*ops_, params, logits.view());
    for (int j = 0; j < params.top_k; ++j) {
      EXPECT_EQ(got.ids[j], j) << family.name;
      EXPECT_EQ(got.ids[params.top_k + j], j) << family.name;
    }
  }
}

TEST_P(CpuRouterTest, RowsOfNanGetValidIds) {
  for (Family& family : Families()) {
    AddBias(family);
    const RouterParams& params = family.params;
    HostMatrix logits(DType::kFloat32, 4, params.num_experts);
    logits.FillNormal(1);
    for (int i = 0; i < params.num_experts; ++i) logits.set(1, i, NAN);
    logits.set(2, params.num_experts / 2, NAN);
    logits.set(3, params.num_experts / 2, INFINITY);
    const Routes got = Route(*ops_, params, logits.view());
    for (int row = 0; row < 4; ++row) {
      std::set<int32_t> ids;
      for (int j = 0; j < params.top_k; ++j) {
        const int32_t id = got.ids[row * params.top_k + j];
        EXPECT_GE(id, 0);
        EXPECT_LT(id, params.num_experts);
        ids.insert(id);
      }
      EXPECT_EQ(ids.size(), params.top_k) << family.name;
    }
    EXPECT_EQ(Route(*reference_, params, logits.view().Rows(0, 1)).ids,
              std::vector<int32_t>(got.ids.begin(), got.ids.begin() + params.top_k));
  }
}

// What is far below the best has no weight worth naming, and is no reason to divide by zero.
TEST_P(CpuRouterTest, WeightsAreFiniteAtAnyFiniteLogits) {
  for (Family& family : Families()) {
    const RouterParams& params = family.params;
    HostMatrix logits(DType::kFloat32, 50, params.num_experts);
    logits.FillNormal(3, 1000.0F);
    const Routes got = Route(*ops_, params, logits.view());
    for (int64_t r = 0; r < 50; ++r) {
      for (int j = 0; j < params.top_k; ++j) {
        EXPECT_TRUE(std::isfinite(got.weights.at(r, j))) << family.name;
      }
    }
  }
}

TEST_P(CpuRouterTest, ARowIsRoutedTheSameAlone) {
  for (Family& family : Families()) {
    AddBias(family);
    const RouterParams& params = family.params;
    HostMatrix logits(DType::kFloat32, 200, params.num_experts);
    logits.FillNormal(5);
    const Routes all = Route(*ops_, params, logits.view());
    for (int64_t r = 0; r < 200; r += 17) {
      const Routes one = Route(*ops_, params, logits.view().Rows(r, 1));
      EXPECT_TRUE(one.weights.SameRowBits(0, all.weights, r));
      for (int j = 0; j < params.top_k; ++j) EXPECT_EQ(one.ids[j], all.ids[r * params.top_k + j]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuRouterTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
