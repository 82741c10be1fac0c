// The CUDA choice of experts, emulated, against the reference and the CPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cuda/router.cuh"
#include "ops/reference/reference_ops.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::emulation::GlobalBuffer;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;
using ::quire::testing::Near;

struct Family {
  std::string name;
  RouterRules rules;
  std::vector<float> bias = {};
};

std::vector<float> Bias(int num_experts) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0.0F, 0.3F);
  std::vector<float> bias(num_experts);
  for (float& value : bias) value = normal(random);
  return bias;
}

std::vector<Family> Families() {
  const Scoring sigmoid = Scoring::kSigmoid, chosen = Scoring::kSoftmaxOfChosen;
  const GroupScore two = GroupScore::kTopTwoSum;
  return {
      {"mixtral", {.num_experts = 8, .top_k = 2, .normalise = true}},
      {"qwen2_moe", {.num_experts = 60, .top_k = 4}},
      {"qwen3_moe", {.num_experts = 128, .top_k = 8, .normalise = true}},
      {"gpt_oss", {.num_experts = 32, .top_k = 4, .scoring = chosen}},
      {"deepseek_v2",
       {.num_experts = 160, .top_k = 6, .scale = 16.0F, .num_groups = 8, .top_groups = 3}},
      {"deepseek_v3",
       {.num_experts = 256,
        .top_k = 8,
        .scoring = sigmoid,
        .normalise = true,
        .scale = 2.5F,
        .num_groups = 8,
        .top_groups = 4,
        .group_score = two},
       Bias(256)},
      {"glm4_moe",
       {.num_experts = 128, .top_k = 8, .scoring = sigmoid, .normalise = true, .group_score = two},
       Bias(128)},
      {"all groups",
       {.num_experts = 40, .top_k = 3, .num_groups = 4, .top_groups = 4, .group_score = two}},
      {"more groups than lanes",
       {.num_experts = 120, .top_k = 9, .num_groups = 40, .top_groups = 3, .group_score = two}},
      {"groups of one, chosen ones biased",
       {.num_experts = 48,
        .top_k = 40,
        .scoring = chosen,
        .scale = 0.5F,
        .num_groups = 48,
        .top_groups = 40},
       Bias(48)},
      {"all of an odd number", {.num_experts = 37, .top_k = 37, .normalise = true}, Bias(37)},
      {"the most", {.num_experts = 1024, .top_k = 64, .normalise = true}},
      {"one of one", {.num_experts = 1, .top_k = 1}},
  };
}

struct Routes {
  Routes(int64_t rows, int k) : ids(rows * k, -1), weights(DType::kFloat32, rows, k, k + 3) {}
  std::vector<int32_t> ids;
  HostMatrix weights;
};

Routes Route(const Family& family, const DeviceMatrix& logits, uint32_t seed = 0) {
  Routes routes(logits.rows, family.rules.top_k);
  const EmulatedMatrix logit_memory("logits", logits, EmulatedMatrix::kInput);
  const EmulatedMatrix weight_memory("weights", routes.weights.view(), EmulatedMatrix::kOutput);
  const GlobalBuffer<int32_t> ids("ids", logits.rows * family.rules.top_k);
  const GlobalBuffer<float> bias("bias", family.bias);
  EmulatedLauncher launcher({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
  cuda_emulated::LaunchRouteRows(launcher,
                                 {.rules = family.rules,
                                  .correction_bias = family.bias.empty() ? nullptr : bias.data(),
                                  .logits = logits,
                                  .ids = ids.data(),
                                  .weights = routes.weights.view()});
  EXPECT_TRUE(launcher.status().ok()) << family.name << ": " << launcher.status();
  EXPECT_TRUE(ids.IsWritten(0, ids.size()) && weight_memory.IsWritten()) << family.name;
  routes.ids.assign(ids.data(), ids.data() + ids.size());
  return routes;
}

class CudaRouterTest : public ::testing::Test {
 protected:
  static Routes RouteBy(Ops& ops, const Family& family, const DeviceMatrix& logits) {
    Routes routes(logits.rows, family.rules.top_k);
    RouterParams params{family.rules, {}};
    if (!family.bias.empty()) params.correction_bias = ops.MakeVector(family.bias).value();
    ops.Route(params, logits, {routes.ids.data(), static_cast<int64_t>(routes.ids.size())},
              routes.weights.view());
    return routes;
  }

  ThreadPool pool_{1};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_F(CudaRouterTest, EveryFamilyMatchesTheReference) {
  for (const Family& family : Families()) {
    HostMatrix logits(DType::kFloat32, 6, family.rules.num_experts, family.rules.num_experts + 5);
    logits.FillNormal(7, 2.0F);
    const Routes got = Route(family, logits.view());
    const Routes want = RouteBy(*reference_, family, logits.view());
    EXPECT_EQ(got.ids, want.ids) << family.name;
    // Two units of an exponential, one of each sum and quotient; a sum of X numbers of one sign is
    // off by as many roundings as it has in a row, X / 32 and 5 here.
    const double units = 16 + family.rules.num_experts / 32.0;
    EXPECT_TRUE(Near(got.weights, want.weights, [&](int64_t r, int64_t c) {
      return units * 0x1p-24 * std::fabs(want.weights.at(r, c));
    })) << family.name;
  }
}

// Of scores that have no sum: the CPU's ids at any logits, near ties among them.
TEST_F(CudaRouterTest, IdsAreTheCpusToTheBit) {
  const CpuIsa isa = AvailableCpuIsas().back();
  if (isa == CpuIsa::kPortable) GTEST_SKIP() << "this CPU does not fuse multiply-adds";
  const auto cpu = MakeCpuOps(pool_, memory_, isa, {});
  for (const Family& family : Families()) {
    HostMatrix logits(DType::kFloat32, 12, family.rules.num_experts);
    logits.FillNormal(7, 2.0F);
    for (int64_t r = 6; r < 12; ++r) {
      for (int64_t i = 0; i < family.rules.num_experts; ++i) {
        // Few values, a unit in the last place apart.
        logits.set(r, i, 1.0F + 0x1p-23F * std::floor(logits.at(r, i)));
      }
    }
    const Routes got = Route(family, logits.view());
    const Routes want = RouteBy(*cpu, family, logits.view());
    if (family.rules.scoring == Scoring::kSoftmax) {
      const size_t far = 6 * family.rules.top_k;
      EXPECT_TRUE(std::equal(got.ids.begin(), got.ids.begin() + far, want.ids.begin()))
          << family.name;
    } else {
      EXPECT_EQ(got.ids, want.ids) << family.name;
    }
    if (family.rules.scoring != Scoring::kSigmoid) continue;
    for (int64_t r = 0; r < 12; ++r) {
      EXPECT_TRUE(got.weights.SameRowBits(r, want.weights, r)) << family.name;
    }
  }
}

TEST_F(CudaRouterTest, EqualsGoToTheLowestIds) {
  for (Family& family : Families()) {
    family.bias.clear();
    HostMatrix logits(DType::kFloat32, 3, family.rules.num_experts);
    for (int i = 0; i < family.rules.num_experts; ++i) {
      logits.set(0, i, 1.5F);
      logits.set(1, i, -INFINITY);
      logits.set(2, i, i % 2 == 0 ? -0.0F : 0.0F);
    }
    const Routes got = Route(family, logits.view(), /*seed=*/2);
    for (int i = 0; i < 3 * family.rules.top_k; ++i) {
      EXPECT_EQ(got.ids[i], i % family.rules.top_k) << family.name;
    }
  }
}

TEST_F(CudaRouterTest, RowsOfNanGetValidIds) {
  for (const Family& family : Families()) {
    const int top_k = family.rules.top_k;
    HostMatrix logits(DType::kFloat32, 5, family.rules.num_experts);
    logits.FillNormal(1);
    for (int i = 0; i < family.rules.num_experts; ++i) logits.set(1, i, NAN);
    logits.set(2, family.rules.num_experts / 2, NAN);
    logits.set(3, family.rules.num_experts / 2, INFINITY);
    for (int i = 0; i < family.rules.num_experts; i += 2) logits.set(4, i, -INFINITY);
    logits.set(4, 0, INFINITY);
    const Routes got = Route(family, logits.view());
    for (int row = 0; row < 5; ++row) {
      std::set<int32_t> ids;
      for (int j = 0; j < top_k; ++j) {
        const int32_t id = got.ids[row * top_k + j];
        EXPECT_GE(id, 0);
        EXPECT_LT(id, family.rules.num_experts);
        ids.insert(id);
      }
      EXPECT_EQ(ids.size(), top_k) << family.name << " row " << row;
    }
    EXPECT_EQ(RouteBy(*reference_, family, logits.view().Rows(0, 1)).ids,
              std::vector<int32_t>(got.ids.begin(), got.ids.begin() + top_k));
  }
}

// What is far below the best has no weight worth naming, and is no reason to divide by zero.
TEST_F(CudaRouterTest, WeightsAreFiniteAtAnyFiniteLogits) {
  for (const Family& family : Families()) {
    HostMatrix logits(DType::kFloat32, 5, family.rules.num_experts);
    logits.FillNormal(3, 1000.0F);
    const Routes got = Route(family, logits.view());
    for (int64_t r = 0; r < 5; ++r) {
      for (int j = 0; j < family.rules.top_k; ++j) {
        EXPECT_TRUE(std::isfinite(got.weights.at(r, j))) << family.name;
      }
    }
  }
}

TEST_F(CudaRouterTest, ARowIsRoutedTheSameAlone) {
  for (const Family& family : Families()) {
    const int top_k = family.rules.top_k;
    HostMatrix logits(DType::kFloat32, 5, family.rules.num_experts, family.rules.num_experts + 1);
    logits.FillNormal(5);
    for (int i = 0; i < family.rules.num_experts; ++i) logits.set(2, i, NAN);
    const Routes all = Route(family, logits.view());
    for (int64_t r : {0, 3}) {
      const Routes one = Route(family, logits.view().Rows(r, 1), /*seed=*/r + 1);
      EXPECT_TRUE(one.weights.SameRowBits(0, all.weights, r)) << family.name;
      EXPECT_TRUE(std::equal(one.ids.begin(), one.ids.end(), all.ids.begin() + r * top_k));
    }
  }
}

TEST_F(CudaRouterTest, NoRowsAreNoWork) {
  const HostMatrix logits(DType::kFloat32, 0, 8), weights(DType::kFloat32, 0, 2);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchRouteRows(launcher, {.rules = {.num_experts = 8, .top_k = 2},
                                            .logits = logits.view(),
                                            .weights = weights.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

}  // namespace
}  // namespace quire
