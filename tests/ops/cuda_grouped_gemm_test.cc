// The CUDA products of experts, emulated, against the plain ones.
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "core/elements.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/gemm.cuh"
#include "ops/cuda/grouped_gemm.cuh"
#include "tests/ops/gemm_harness.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::emulation::GlobalBuffer;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::ForEachGemmShape;
using ::quire::testing::GemmEmulation;
using ::quire::testing::GemmWeight;
using ::quire::testing::HostMatrix;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

struct Layout {
  std::vector<int32_t> counts;      // of the rows of each expert
  std::vector<int32_t> source_row;  // or empty
  int64_t rows_behind = 0;          // that no expert has
};

class CudaGroupedGemmTest : public ::testing::Test {
 protected:
  // Experts of [n, k], every second one with a bias.
  CudaGroupedGemmTest& MakeExperts(DType act, size_t count, int64_t n, int64_t k, int64_t gap = 0) {
    experts_.clear();
    for (size_t e = 0; e < count; ++e) {
      experts_.push_back(
          std::make_unique<GemmWeight>(act, n, k, e % 2 == 1, gap, static_cast<uint32_t>(e + 1)));
    }
    return *this;
  }

  template <typename Launch>
  absl::Status Run(Launch launch, const HostMatrix& x, const std::vector<int32_t>& expert_start,
                   const std::vector<int32_t>& source_row, const HostMatrix& y, uint32_t seed = 0,
                   bool with_biases = true) {
    std::vector<const void*> weights;
    std::vector<const float*> biases;
    for (const auto& expert : experts_) {
      weights.push_back(expert->matrix().data);
      biases.push_back(expert->bias());
    }
    const GlobalBuffer<const void*> weights_memory("weights", weights);
    const GlobalBuffer<const float*> biases_memory("biases", biases);
    const GlobalBuffer<int32_t> start_memory("expert_start", expert_start);
    std::optional<GlobalBuffer<int32_t>> source_memory;
    if (!source_row.empty()) source_memory.emplace("source_row", source_row);
    const EmulatedMatrix x_memory("x", x.view(), EmulatedMatrix::kInput);
    const EmulatedMatrix y_memory("y", y.view(), EmulatedMatrix::kOutput);
    GroupedGemmArgs args{.x = x.view(),
                         .expert_start = {start_memory.data(), start_memory.size()},
                         .weights = weights_memory.data(),
                         .weight_stride = experts_[0]->matrix().row_stride,
                         .biases = with_biases ? biases_memory.data() : nullptr,
                         .y = y.view()};
    if (source_memory.has_value()) {
      args.source_row = {source_memory->data(), source_memory->size()};
    }
    EmulatedLauncher launcher(GemmEmulation(seed));
    launch(launcher, args);
    return launcher.status();
  }

  // Each expert's rows, gathered, by the plain kernel; other rows are left as they are.
  void Expect(const HostMatrix& x, const Layout& layout, const HostMatrix& want,
              bool with_biases = true) {
    int64_t begin = 0;
    for (size_t e = 0; e < experts_.size(); ++e) {
      const int64_t count = layout.counts[e], k = x.view().cols;
      if (count == 0) continue;
      HostMatrix rows(x.view().dtype, count, k);
      for (int64_t row = 0; row < count; ++row) {
        const int64_t source =
            layout.source_row.empty() ? begin + row : layout.source_row[begin + row];
        for (int64_t i = 0; i < k; ++i) rows.set(row, i, x.at(source, i));
      }
      const GemmArgs args{.x = rows.view(),
                          .weight = experts_[e]->matrix(),
                          .bias = with_biases ? experts_[e]->bias() : nullptr,
                          .y = want.view().Rows(begin, count)};
      const EmulatedMatrix x_memory("x", args.x, EmulatedMatrix::kInput);
      const EmulatedMatrix y_memory("y", args.y, EmulatedMatrix::kOutput);
      EmulatedLauncher launcher;
      cuda_emulated::LaunchGemm(launcher, args);
      ASSERT_TRUE(launcher.status().ok()) << launcher.status();
      begin += count;
    }
  }

  static std::vector<int32_t> Starts(const Layout& layout) {
    std::vector<int32_t> starts = {0};
    for (int32_t count : layout.counts) starts.push_back(starts.back() + count);
    return starts;
  }

  // The grouped form has the bits of the plain one, by the shape that the rule chooses, in threads
  // of another order.
  void ExpectPlainBits(DType act, const Layout& layout, int64_t n, int64_t k, int64_t gap,
                       bool with_biases = true) {
    const std::vector<int32_t> starts = Starts(layout);
    const int64_t rows = starts.back() + layout.rows_behind;
    HostMatrix x(act, rows, k, k + gap);
    x.FillNormal(7);
    for (DType out : {act, DType::kFloat32}) {
      const HostMatrix want(out, rows, n, n + gap), got(out, rows, n, n + gap);
      Expect(x, layout, want, with_biases);
      const absl::Status status =
          Run([](auto& launcher,
                 const GroupedGemmArgs& args) { cuda_emulated::LaunchGroupedGemm(launcher, args); },
              x, starts, layout.source_row, got, /*seed=*/1, with_biases);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_TRUE(got.SameBits(want));
    }
  }

  std::vector<std::unique_ptr<GemmWeight>> experts_;
};

TEST_F(CudaGroupedGemmTest, RowsHaveTheBitsOfThePlainProduct) {
  for (DType act : kActs) {
    for (int64_t gap : {0, 3}) {
      MakeExperts(act, 5, 22, 264, gap);
      ExpectPlainBits(act, {{3, 0, 9, 1, 0}, {}}, 22, 264, gap);
      ExpectPlainBits(act, {{0, 0, 0, 0, 1}, {}}, 22, 264, gap);
      ExpectPlainBits(act, {{0, 0, 19, 0, 0}, {}}, 22, 264, gap);
      ExpectPlainBits(act, {{8, 8, 8, 8, 8}, {}}, 22, 264, gap, /*with_biases=*/false);
    }
  }
}

TEST_F(CudaGroupedGemmTest, RowsComeFromWhereTheyAreSaidToBe) {
  for (DType act : kActs) {
    MakeExperts(act, 3, 17, 40);
    // Two experts a token.
    ExpectPlainBits(act, {{2, 1, 3}, {2, 0, 1, 0, 1, 2}}, 17, 40, 0);
    ExpectPlainBits(act, {{0, 6, 0}, {5, 5, 0, 3, 1, 0}}, 17, 40, 5);
  }
}

// More experts than a warp has lanes, most of them empty; and the most blocks that can be needed.
TEST_F(CudaGroupedGemmTest, ManyExpertsAreFound) {
  MakeExperts(DType::kBFloat16, 70, 16, 16);
  Layout sparse{std::vector<int32_t>(70, 0), {}};
  sparse.counts[0] = 1, sparse.counts[31] = 17, sparse.counts[32] = 8, sparse.counts[69] = 9;
  ExpectPlainBits(DType::kBFloat16, sparse, 16, 16, 0);
  Layout one_over{std::vector<int32_t>(70, 1), {}};
  one_over.counts[3] = 9;
  ExpectPlainBits(DType::kBFloat16, one_over, 16, 16, 0);
  Layout last{std::vector<int32_t>(70, 0), {}};
  last.counts[69] = 140;
  ExpectPlainBits(DType::kBFloat16, last, 16, 16, 0);
}

TEST_F(CudaGroupedGemmTest, RowsBehindTheLastExpertStayUnwritten) {
  for (DType act : kActs) {
    MakeExperts(act, 2, 16, 64);
    ExpectPlainBits(act, {{2, 9}, {}, /*rows_behind=*/14}, 16, 64, 0);
    ExpectPlainBits(act, {{0, 0}, {}, /*rows_behind=*/3}, 16, 64, 0);
  }
}

template <typename T>
class CudaGroupedGemmShapeTest : public CudaGroupedGemmTest {};
using Acts = ::testing::Types<bf16, float>;
TYPED_TEST_SUITE(CudaGroupedGemmShapeTest, Acts);

TYPED_TEST(CudaGroupedGemmShapeTest, EveryShapeOfBlockGivesTheSameBits) {
  constexpr DType kAct = kDTypeOf<TypeParam>;
  const Layout layout{{70, 0, 9, 131}, {}};
  this->MakeExperts(kAct, 4, 20, 72);
  HostMatrix x(kAct, 210, 72);
  x.FillNormal(3);
  const HostMatrix want(DType::kFloat32, 210, 20);
  this->Expect(x, layout, want);
  ForEachGemmShape<TypeParam>([&](auto shape) {
    const HostMatrix got(DType::kFloat32, 210, 20);
    const absl::Status status = this->Run(
        [](auto& launcher, const GroupedGemmArgs& args) {
          cuda_emulated::LaunchGroupedGemmOf<TypeParam, decltype(shape)>(launcher, args);
        },
        x, this->Starts(layout), {}, got);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(got.SameBits(want)) << shape.kRows << " x " << shape.kTokens;
  });
}

TEST_F(CudaGroupedGemmTest, WildNumbersAreNotFollowed) {
  const auto launch = [](auto& launcher, const GroupedGemmArgs& args) {
    cuda_emulated::LaunchGroupedGemm(launcher, args);
  };
  MakeExperts(DType::kBFloat16, 2, 16, 64);
  HostMatrix x(DType::kBFloat16, 4, 64);
  x.FillNormal(1);
  const std::vector<int32_t> starts[] = {{0, 2, 5}, {0, 3, 2}, {-1, 2, 4}};
  for (const auto& wild : starts) {
    const HostMatrix y(DType::kBFloat16, 4, 16);
    EXPECT_THAT(std::string(this->Run(launch, x, wild, {}, y).message()),
                ::testing::HasSubstr("DeviceCheck"));
  }
  for (int32_t wild : {-1, 4}) {
    const HostMatrix y(DType::kBFloat16, 4, 16);
    EXPECT_THAT(std::string(this->Run(launch, x, {0, 2, 4}, {0, 1, wild, 3}, y).message()),
                ::testing::HasSubstr("DeviceCheck"));
  }
}

TEST_F(CudaGroupedGemmTest, NoRowsAreNoWork) {
  MakeExperts(DType::kBFloat16, 2, 16, 64);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchGroupedGemm(
      launcher, {.x = {nullptr, DType::kBFloat16, 0, 64, 64}, .expert_start = {nullptr, 3}});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

}  // namespace
}  // namespace quire
