// The CUDA choice of experts, the sort of tokens by expert and the sum of what experts give,
// emulated, against the reference and the CPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cuda/experts.cuh"
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

EmulatedLauncher MakeLauncher(uint32_t seed) {
  return EmulatedLauncher({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
}

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
  EmulatedLauncher launcher = MakeLauncher(seed);
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
    HostMatrix logits(DType::kFloat32, 12, family.rules.num_experts, family.rules.num_experts + 5);
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
    HostMatrix logits(DType::kFloat32, 20, family.rules.num_experts);
    logits.FillNormal(7, 2.0F);
    for (int64_t r = 10; r < 20; ++r) {
      for (int64_t i = 0; i < family.rules.num_experts; ++i) {
        // Few values, a unit in the last place apart.
        logits.set(r, i, 1.0F + 0x1p-23F * std::floor(logits.at(r, i)));
      }
    }
    const Routes got = Route(family, logits.view());
    const Routes want = RouteBy(*cpu, family, logits.view());
    if (family.rules.scoring == Scoring::kSoftmax) {
      const size_t far = 10 * family.rules.top_k;
      EXPECT_TRUE(std::equal(got.ids.begin(), got.ids.begin() + far, want.ids.begin()))
          << family.name;
    } else {
      EXPECT_EQ(got.ids, want.ids) << family.name;
    }
    if (family.rules.scoring != Scoring::kSigmoid) continue;
    for (int64_t r = 0; r < 20; ++r) {
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
    HostMatrix logits(DType::kFloat32, 8, family.rules.num_experts, family.rules.num_experts + 1);
    logits.FillNormal(5);
    for (int i = 0; i < family.rules.num_experts; ++i) logits.set(6, i, NAN);
    const Routes all = Route(family, logits.view());
    for (int64_t r : {0, 3, 7}) {
      const Routes one = Route(family, logits.view().Rows(r, 1), /*seed=*/r + 1);
      EXPECT_TRUE(one.weights.SameRowBits(0, all.weights, r)) << family.name;
      EXPECT_TRUE(std::equal(one.ids.begin(), one.ids.end(), all.ids.begin() + r * top_k));
    }
  }
}

struct Sorted {
  std::vector<int32_t> expert_start, source_row, place;
};

absl::Status Sort(const std::vector<int32_t>& ids, int top_k, int num_experts, Sorted& sorted,
                  uint32_t seed = 0) {
  const auto pairs = static_cast<int64_t>(ids.size());
  const GlobalBuffer<int32_t> id_memory("ids", ids);
  const GlobalBuffer<int32_t> counts("counts", SortPairsCounts(pairs, num_experts));
  const GlobalBuffer<int32_t> start("expert_start", num_experts + 1);
  const GlobalBuffer<int32_t> source("source_row", pairs), place("place", pairs);
  EmulatedLauncher launcher = MakeLauncher(seed);
  cuda_emulated::LaunchSortPairs(launcher, {.ids = {id_memory.data(), pairs},
                                            .top_k = top_k,
                                            .num_experts = num_experts,
                                            .counts = counts.size() == 0 ? nullptr : counts.data(),
                                            .expert_start = start.data(),
                                            .source_row = source.data(),
                                            .place = place.data()});
  if (!launcher.status().ok()) return launcher.status();
  EXPECT_TRUE(start.IsWritten(0, num_experts + 1));
  EXPECT_TRUE(source.IsWritten(0, pairs) && place.IsWritten(0, pairs));
  sorted.expert_start.assign(start.data(), start.data() + start.size());
  sorted.source_row.assign(source.data(), source.data() + pairs);
  sorted.place.assign(place.data(), place.data() + pairs);
  return absl::OkStatus();
}

// What the contract says, by the standard library's sort.
Sorted StableSorted(const std::vector<int32_t>& ids, int top_k, int num_experts) {
  std::vector<int32_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return ids[a] < ids[b]; });
  Sorted sorted;
  sorted.place.resize(ids.size());
  for (size_t at = 0; at < order.size(); ++at) {
    sorted.source_row.push_back(order[at] / top_k);
    sorted.place[order[at]] = static_cast<int32_t>(at);
  }
  for (int expert = 0; expert <= num_experts; ++expert) {
    sorted.expert_start.push_back(static_cast<int32_t>(
        std::count_if(ids.begin(), ids.end(), [&](int32_t id) { return id < expert; })));
  }
  return sorted;
}

enum class Load { kRandom, kOneExpert, kLastExpert, kDescending };

std::vector<int32_t> Ids(int64_t pairs, int num_experts, Load load) {
  std::mt19937 random(static_cast<uint32_t>(pairs + num_experts));
  std::vector<int32_t> ids(pairs);
  for (int64_t i = 0; i < pairs; ++i) {
    switch (load) {
      case Load::kRandom:
        ids[i] = static_cast<int32_t>(random() % num_experts);
        break;
      case Load::kOneExpert:
        ids[i] = num_experts / 2;
        break;
      case Load::kLastExpert:
        ids[i] = random() % 4 == 0 ? 0 : num_experts - 1;
        break;
      case Load::kDescending:
        ids[i] = static_cast<int32_t>((pairs - i) % num_experts);
        break;
    }
  }
  return ids;
}

void ExpectStable(const std::vector<int32_t>& ids, int top_k, int num_experts, uint32_t seed) {
  Sorted got;
  const absl::Status status = Sort(ids, top_k, num_experts, got, seed);
  ASSERT_TRUE(status.ok()) << status;
  const Sorted want = StableSorted(ids, top_k, num_experts);
  EXPECT_EQ(got.expert_start, want.expert_start) << ids.size() << " of " << num_experts;
  EXPECT_EQ(got.source_row, want.source_row) << ids.size() << " of " << num_experts;
  EXPECT_EQ(got.place, want.place) << ids.size() << " of " << num_experts;
}

TEST(CudaSortPairsTest, TheSortIsStable) {
  for (int num_experts : {1, 2, 7, 32, 33, 128}) {
    for (int64_t pairs : {1, 2, 31, 32, 33, 64, 65, 200}) {
      for (Load load : {Load::kRandom, Load::kOneExpert, Load::kLastExpert, Load::kDescending}) {
        ExpectStable(Ids(pairs, num_experts, load), pairs % 2 == 0 ? 2 : 1, num_experts,
                     static_cast<uint32_t>(load));
      }
    }
  }
}

TEST(CudaSortPairsTest, TheMostExpertsAreSorted) {
  ExpectStable(Ids(8, 512, Load::kRandom), 8, 512, 1);
  ExpectStable(Ids(1000, 512, Load::kRandom), 8, 512, 0);
  ExpectStable(Ids(300, kMaxExperts, Load::kRandom), 3, kMaxExperts, 0);
}

// At the edges of a block's pairs, and with some blocks side by side.
TEST(CudaSortPairsTest, PairsOfManyBlocksAreSorted) {
  for (int64_t pairs : {kPairsPerBlock - 1, kPairsPerBlock, kPairsPerBlock + 1, kPairsPerBlock + 33,
                        3 * kPairsPerBlock + 8}) {
    ExpectStable(Ids(pairs, 40, Load::kRandom), 1, 40, static_cast<uint32_t>(pairs % 2));
  }
  ExpectStable(Ids(2 * kPairsPerBlock, 300, Load::kLastExpert), 8, 300, 5);
}

TEST(CudaSortPairsTest, NoPairsLeaveEveryExpertEmpty) {
  Sorted got;
  ASSERT_TRUE(Sort({}, 4, 50, got).ok());
  EXPECT_EQ(got.expert_start, std::vector<int32_t>(51, 0));
}

TEST(CudaSortPairsTest, AnIdThatIsNoExpertsIsNotFollowed) {
  for (int64_t pairs : {int64_t{40}, kPairsPerBlock + 40}) {
    for (int32_t wrong : {-1, 20, 1 << 30}) {
      std::vector<int32_t> ids = Ids(pairs, 20, Load::kRandom);
      ids[pairs - 3] = wrong;
      Sorted got;
      const absl::Status status = Sort(ids, 1, 20, got);
      EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("DeviceCheck")) << wrong;
    }
  }
}

// Pairs sorted, their rows filled, and added up.
struct Combination {
  Combination(DType dtype, int64_t tokens, int top_k, int64_t width, int64_t gap)
      : y(dtype, tokens * top_k, width, width + gap),
        weights(DType::kFloat32, tokens, top_k, top_k + 1),
        place(tokens * top_k) {
    y.FillNormal(1);
    weights.FillNormal(2);
    std::iota(place.begin(), place.end(), 0);
    std::shuffle(place.begin(), place.end(), std::mt19937(3));
  }

  absl::Status Run(int64_t first, const HostMatrix& out, uint32_t seed = 0) const {
    const int64_t tokens = out.view().rows, top_k = weights.view().cols;
    const EmulatedMatrix y_memory("y", y.view(), EmulatedMatrix::kInput);
    const DeviceMatrix own_weights = weights.view().Rows(first, tokens);
    const EmulatedMatrix weight_memory("weights", own_weights, EmulatedMatrix::kInput);
    const GlobalBuffer<int32_t> place_memory(
        "place", std::vector<int32_t>(place.begin() + first * top_k,
                                      place.begin() + (first + tokens) * top_k));
    const EmulatedMatrix out_memory("out", out.view(), EmulatedMatrix::kOutput);
    EmulatedLauncher launcher = MakeLauncher(seed);
    cuda_emulated::LaunchCombineExperts(launcher,
                                        {.y = y.view(),
                                         .weights = own_weights,
                                         .place = {place_memory.data(), place_memory.size()},
                                         .out = out.view()});
    EXPECT_TRUE(out_memory.IsWritten() || !launcher.status().ok());
    return launcher.status();
  }
  float Sum(int64_t token, int64_t i) const {
    const int64_t top_k = weights.view().cols;
    float sum = 0.0F;
    for (int64_t j = 0; j < top_k; ++j) {
      sum = std::fma(weights.at(token, j), y.at(place[token * top_k + j], i), sum);
    }
    return sum;
  }

  HostMatrix y;
  HostMatrix weights;
  std::vector<int32_t> place;
};

TEST(CudaCombineTest, ARowIsTheOrderedSumOfItsExperts) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (int top_k : {1, 3, 4, 5, 8}) {
      for (int64_t width : {1, 8, 9, 100, 1040}) {
        for (int64_t gap : {0, 3}) {
          const Combination combination(dtype, 3, top_k, width, gap);
          const HostMatrix out(DType::kFloat32, 3, width, width + gap);
          const absl::Status status = combination.Run(0, out, /*seed=*/gap);
          ASSERT_TRUE(status.ok()) << status;
          for (int64_t t = 0; t < 3; ++t) {
            for (int64_t i = 0; i < width; ++i) ASSERT_EQ(out.at(t, i), combination.Sum(t, i));
          }
        }
      }
    }
  }
}

TEST(CudaCombineTest, ARowOfNanStaysAlone) {
  Combination combination(DType::kBFloat16, 6, 4, 24, 0);
  for (int64_t i = 0; i < 24; ++i) combination.y.set(combination.place[3 * 4 + 1], i, NAN);
  const HostMatrix out(DType::kFloat32, 6, 24);
  ASSERT_TRUE(combination.Run(0, out).ok());
  for (int64_t t = 0; t < 6; ++t) EXPECT_EQ(std::isnan(out.at(t, 5)), t == 3);
  const HostMatrix one(DType::kFloat32, 1, 24, 25);
  ASSERT_TRUE(combination.Run(4, one, /*seed=*/1).ok());
  EXPECT_TRUE(one.SameRowBits(0, out, 4));
}

TEST(CudaCombineTest, APlaceThatIsNotThereIsNotRead) {
  for (int32_t wrong : {-1, 8, 1 << 30}) {
    Combination combination(DType::kFloat32, 2, 4, 24, 0);
    combination.place[5] = wrong;
    const HostMatrix out(DType::kFloat32, 2, 24);
    EXPECT_THAT(std::string(combination.Run(0, out).message()),
                ::testing::HasSubstr("DeviceCheck"));
  }
}

TEST(CudaMoeTest, NoRowsAreNoWork) {
  const HostMatrix none(DType::kFloat32, 0, 8), weights(DType::kFloat32, 0, 2);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchRouteRows(
      launcher,
      {.rules = {.num_experts = 8, .top_k = 2}, .logits = none.view(), .weights = weights.view()});
  cuda_emulated::LaunchCombineExperts(
      launcher, {.y = none.view(), .weights = weights.view(), .place = {}, .out = none.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

}  // namespace
}  // namespace quire
