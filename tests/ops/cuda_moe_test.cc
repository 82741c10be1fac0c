// The CUDA sort of tokens by expert and the sum of what experts give, emulated, against what the
// contract says.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/experts.cuh"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::emulation::GlobalBuffer;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;
using ::quire::testing::RowStrides;

EmulatedLauncher MakeLauncher(uint32_t seed, size_t max_shared_bytes = kMaxSharedBytes) {
  return EmulatedLauncher(
      {.seed = seed, .resident_blocks = seed == 0 ? 1 : 3, .max_shared_bytes = max_shared_bytes});
}

struct Sorted {
  std::vector<int32_t> expert_start, source_row, place;
};

absl::Status Sort(const std::vector<int32_t>& ids, int top_k, int num_experts, Sorted& sorted,
                  uint32_t seed = 0, size_t max_shared_bytes = kMaxSharedBytes) {
  const auto pairs = static_cast<int64_t>(ids.size());
  const GlobalBuffer<int32_t> id_memory("ids", ids);
  const GlobalBuffer<int32_t> counts("counts", SortPairsCounts(pairs, num_experts));
  const GlobalBuffer<int32_t> start("expert_start", num_experts + 1);
  const GlobalBuffer<int32_t> source("source_row", pairs), place("place", pairs);
  EmulatedLauncher launcher = MakeLauncher(seed, max_shared_bytes);
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

void ExpectStable(const std::vector<int32_t>& ids, int top_k, int num_experts, uint32_t seed,
                  size_t max_shared_bytes = kMaxSharedBytes) {
  Sorted got;
  const absl::Status status = Sort(ids, top_k, num_experts, got, seed, max_shared_bytes);
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
// Counts of 32 warps take 128 KiB.
TEST(CudaSortPairsTest, FewerWarpsSortWhereABlockHasLessSharedMemory) {
  ExpectStable(Ids(1024, 1024, Load::kRandom), 8, 1024, 3, kLeastSharedBytes);
}

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
  Combination(DType dtype, int64_t tokens, int top_k, int64_t width, int64_t stride)
      : y(dtype, tokens * top_k, width, stride),
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
        for (int64_t stride : RowStrides(width)) {
          const Combination combination(dtype, 3, top_k, width, stride);
          const HostMatrix out(DType::kFloat32, 3, width, stride);
          const absl::Status status = combination.Run(0, out, /*seed=*/stride % 2);
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
  Combination combination(DType::kBFloat16, 6, 4, 24, 24);
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
    Combination combination(DType::kFloat32, 2, 4, 24, 24);
    combination.place[5] = wrong;
    const HostMatrix out(DType::kFloat32, 2, 24);
    EXPECT_THAT(std::string(combination.Run(0, out).message()),
                ::testing::HasSubstr("DeviceCheck"));
  }
}

TEST(CudaCombineTest, NoRowsAreNoWork) {
  const HostMatrix none(DType::kFloat32, 0, 8), weights(DType::kFloat32, 0, 2);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchCombineExperts(
      launcher, {.y = none.view(), .weights = weights.view(), .place = {}, .out = none.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

}  // namespace
}  // namespace quire
