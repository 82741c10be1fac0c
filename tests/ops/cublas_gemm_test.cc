// Which of cuBLASLt's algorithms prompt rows take, over a library of the test's own. Over 400
// lines: the laws share one fixture.
#include "ops/cuda/cublas_gemm.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/elements.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/measure_algorithms.h"
#include "tests/ops/cuda/fake_cublas.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::Cublas;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::FakeProduct;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kN = 24;
constexpr int64_t kK = 16;
constexpr int64_t kMaxRows = 96;
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
const GpuIdentity kGpu{
    .name = "A GPU", .major = 9, .minor = 0, .multiprocessors = 132, .driver_version = 13000};
constexpr AlgorithmConfig kFirst{.id = 66, .tile = 20, .stages = 36, .cluster_shape = 2};
constexpr AlgorithmConfig kSecond{
    .id = 66, .tile = 21, .swizzle = 1, .custom = 5, .inner_shape = 3};
constexpr AlgorithmConfig kSplit{.id = 21, .tile = 20, .splits = 4, .reduction = 2};
// What a search for no reduction may find all the same.
constexpr AlgorithmConfig kSilentSplit{.id = 21, .tile = 20, .splits = 2};

class CublasGemmTest : public ::testing::Test {
 protected:
  CublasGemmTest() {
    Cublas() = {};
    Cublas().algorithms = {{.config = kSilentSplit}, {.config = kFirst}, {.config = kSecond}};
    options_.max_rows = kMaxRows;
    options_.gpu = kGpu;
    options_.log = [this](absl::string_view line) { log_.emplace_back(line); };
    options_.clock = [] { return Cublas().now; };
  }

  std::unique_ptr<PromptGemm> Make() {
    auto made = MakeCublasGemm(queue_, nullptr, memory_, options_);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }

  DeviceBuffer Upload(const void* data, size_t bytes) {
    DeviceBuffer buffer = memory_.Allocate(bytes, "test").value();
    memory_.CopyFromHost(buffer.data(), data, bytes);
    return buffer;
  }

  // Weights, inputs and biases are integers (or the bias is 1/3) whose sums are exact.
  // Products of two sizes: of numbers with fractions the order of a sum shows in its bits.
  static float Weight(int64_t n, int64_t k) {
    return static_cast<float>((n * 5 + k * 3) % 7 - 3) * (k % 2 == 0 ? 1.0F : 0x1p16F);
  }
  std::unique_ptr<CudaLinear> MakeLinear(int64_t n = kN, std::optional<float> bias = {}) {
    std::vector<bf16> weights;
    for (int64_t i = 0; i < n * kK; ++i) weights.push_back(ToBf16(Weight(i / kK, i % kK)));
    DeviceBuffer own_bias;
    DeviceBuffer act_bias;
    if (bias.has_value()) {
      const std::vector<float> biases(n, *bias);
      const std::vector<bf16> rounded(n, ToBf16(*bias));
      own_bias = Upload(biases.data(), n * sizeof(float));
      if (ToFloat(rounded[0]) == *bias) act_bias = Upload(rounded.data(), n * sizeof(bf16));
    }
    return std::make_unique<CudaLinear>(kK, n, DType::kBFloat16,
                                        Upload(weights.data(), weights.size() * sizeof(bf16)),
                                        std::move(own_bias), std::move(act_bias));
  }

  static float X(int64_t m, int64_t k) { return static_cast<float>((m * 2 + k) % 5 - 2); }

  // Multiplies `rows` rows and holds the result against the integers. False where Multiply is.
  bool Multiply(PromptGemm& gemm, const CudaLinear& linear, int64_t rows, float bias = 0.0F) {
    std::vector<bf16> values;
    for (int64_t i = 0; i < rows * kK; ++i) values.push_back(ToBf16(X(i / kK, i % kK)));
    const DeviceBuffer x = Upload(values.data(), values.size() * sizeof(bf16));
    const int64_t n = linear.out_features();
    const DeviceBuffer y = memory_.Allocate(rows * n * sizeof(float), "test").value();
    const DeviceMatrix out{y.data(), DType::kFloat32, rows, n, n};
    if (!gemm.Multiply(linear, {x.data(), DType::kBFloat16, rows, kK, kK}, out)) return false;
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t column = 0; column < n; ++column) {
        float expected = bias;
        for (int64_t k = 0; k < kK; ++k) expected += X(m, k) * Weight(column, k);
        EXPECT_EQ(LoadElement(out, m, column), expected) << m << " " << column;
      }
    }
    return true;
  }

  // What multiplies each of these numbers of rows.
  std::vector<AlgorithmConfig> Taken(PromptGemm& gemm, const CudaLinear& linear,
                                     const std::vector<int64_t>& numbers_of_rows) {
    std::vector<AlgorithmConfig> taken;
    for (int64_t rows : numbers_of_rows) {
      const size_t before = Cublas().products.size();
      EXPECT_TRUE(Multiply(gemm, linear, rows)) << rows;
      EXPECT_EQ(Cublas().products.size(), before + 1) << "nothing is measured in a step";
      taken.push_back(Cublas().products.back().config);
    }
    return taken;
  }

  static MeasuredAlgorithm Row(const AlgorithmConfig& config) {
    return {kGpu.major, kGpu.minor, kGpu.multiprocessors, DType::kBFloat16, DType::kFloat32, kN,
            kK,         config};
  }

  emulation::EmulatedMemory memory_{kWorkspaceBytes * 3 / 2};
  emulation::EmulatedQueue queue_;
  std::vector<std::string> log_;
  CublasGemmOptions options_;
};

const std::vector<int64_t> kSomeRows = {1, 2, 7, 60, 64, 65, kMaxRows};

TEST_F(CublasGemmTest, TheTablesAlgorithmIsTakenForEveryNumberOfRows) {
  const std::vector<MeasuredAlgorithm> table = {Row(kSecond)};
  options_.table = table;
  const auto gemm = Make();
  const auto linear = MakeLinear();
  gemm->Prepare(*linear, DType::kFloat32);
  EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kSecond));
  EXPECT_THAT(Cublas().searches, IsEmpty());
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_TRUE(gemm->is_batch_invariant());
}

TEST_F(CublasGemmTest, WhatTheTableLacksTakesTheFirstChoiceThatDoesNotSplitKAndSaysSoOnce) {
  std::vector<MeasuredAlgorithm> others = {Row(kSecond), Row(kSecond), Row(kSecond)};
  others[0].multiprocessors = 114;
  others[1].n = kN + 8;
  others[2].out = DType::kBFloat16;
  options_.table = others;
  options_.gpu.minor = 1;
  const auto gemm = Make();
  const auto linear = MakeLinear();
  const auto other = MakeLinear(kN + 8);
  gemm->Prepare(*linear, DType::kFloat32);
  gemm->Prepare(*other, DType::kFloat32);
  EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kFirst));
  EXPECT_THAT(Taken(*gemm, *other, kSomeRows), Each(kFirst));
  EXPECT_THAT(log_, ElementsAre(AllOf(HasSubstr("no algorithm is measured for A GPU (9.1, 132"),
                                      HasSubstr("first choice"))));
}

TEST_F(CublasGemmTest, TheFirstChoiceIsThatOfAFixedNumberOfRowsWithoutReductions) {
  const auto linear = MakeLinear();
  for (int64_t max_rows : {8, 96}) {
    options_.max_rows = max_rows;
    Make()->Prepare(*linear, DType::kFloat32);
  }
  ASSERT_THAT(Cublas().searches, SizeIs(2));
  for (const testing::FakeSearch& search : Cublas().searches) {
    EXPECT_EQ(search.rows, 2048);
    EXPECT_EQ(search.reductions, 0U);
    EXPECT_EQ(search.workspace_bytes, kWorkspaceBytes);
  }
}

TEST_F(CublasGemmTest, AShapeIsChosenForOnce) {
  const auto gemm = Make();
  const auto linear = MakeLinear();
  const auto same = MakeLinear();
  for (const auto* each : {linear.get(), same.get(), linear.get()}) {
    gemm->Prepare(*each, DType::kFloat32);
  }
  EXPECT_THAT(Cublas().searches, SizeIs(1));
  gemm->Prepare(*linear, DType::kBFloat16);
  EXPECT_THAT(Cublas().searches, SizeIs(2));
}

TEST_F(CublasGemmTest, ARowOfTheTableThatTheLibraryDoesNotKnowFallsBack) {
  AlgorithmConfig unknown_tile = kSecond;
  unknown_tile.tile = 999;
  AlgorithmConfig unknown_id = kSecond;
  unknown_id.id = 999;
  for (const AlgorithmConfig& config : {unknown_tile, unknown_id}) {
    log_.clear();
    const std::vector<MeasuredAlgorithm> table = {Row(config)};
    options_.table = table;
    const auto gemm = Make();
    const auto linear = MakeLinear();
    gemm->Prepare(*linear, DType::kFloat32);
    EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kFirst));
    EXPECT_THAT(log_, ElementsAre(HasSubstr("does not run here")));
  }
}

TEST_F(CublasGemmTest, AnAlgorithmHasToTakeEveryNumberOfRows) {
  Cublas().algorithms[1].max_rows = kMaxRows - 1;
  const std::vector<MeasuredAlgorithm> table = {Row(kFirst)};
  options_.table = table;
  const auto gemm = Make();
  const auto linear = MakeLinear();
  gemm->Prepare(*linear, DType::kFloat32);
  EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kSecond));
}

TEST_F(CublasGemmTest, AnAlgorithmWhoseBitsDependOnTheNumberOfRowsIsNotTaken) {
  Cublas().algorithms[1].depends_on_rows = true;
  const std::vector<MeasuredAlgorithm> table = {Row(kFirst)};
  for (const auto& rows : {absl::Span<const MeasuredAlgorithm>(table), {}}) {
    options_.table = rows;
    const auto gemm = Make();
    const auto linear = MakeLinear();
    gemm->Prepare(*linear, DType::kFloat32);
    EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kSecond));
    EXPECT_THAT(log_, Contains(HasSubstr("66,20,36,1,0,0,0,0,2 gives a row other bits")));
  }
}

TEST_F(CublasGemmTest, WhereNoAlgorithmKeepsBitsOthersMultiply) {
  Cublas().algorithms[1].depends_on_rows = true;
  Cublas().algorithms[2].depends_on_rows = true;
  const auto gemm = Make();
  const auto linear = MakeLinear();
  gemm->Prepare(*linear, DType::kFloat32);
  for (int64_t rows : kSomeRows) EXPECT_FALSE(Multiply(*gemm, *linear, rows));
  EXPECT_THAT(log_.back(), HasSubstr("no algorithm keeps the bits"));
}

TEST_F(CublasGemmTest, OneWorkspaceIsTakenAtStartAndHolds) {
  Cublas().algorithms[1].workspace_bytes = kWorkspaceBytes + 1;
  Cublas().algorithms[2].workspace_bytes = kWorkspaceBytes;
  const size_t before = memory_.AvailableBytes();
  const std::vector<MeasuredAlgorithm> table = {Row(kFirst)};
  options_.table = table;
  const auto gemm = Make();
  EXPECT_EQ(before - memory_.AvailableBytes(), kWorkspaceBytes);
  const auto linear = MakeLinear();
  const size_t with_linear = memory_.AvailableBytes();
  gemm->Prepare(*linear, DType::kFloat32);
  EXPECT_EQ(memory_.AvailableBytes(), with_linear) << "what measuring took is back";
  EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kSecond));
  const void* const workspace = Cublas().products[0].workspace;
  EXPECT_NE(workspace, nullptr);
  EXPECT_THAT(Cublas().products,
              Each(AllOf(Field(&FakeProduct::workspace, workspace),
                         Field(&FakeProduct::workspace_bytes, kWorkspaceBytes))));
}

TEST_F(CublasGemmTest, WithoutMemoryToMeasureTheFirstChoiceIsTaken) {
  for (bool invariance : {true, false}) {
    options_.batch_invariance = invariance;
    log_.clear();
    const auto gemm = Make();
    const auto linear = MakeLinear();
    const size_t left = memory_.AvailableBytes();
    {
      const DeviceBuffer hog = memory_.Allocate(left - 16, "test").value();
      gemm->Prepare(*linear, DType::kFloat32);
    }
    EXPECT_THAT(Taken(*gemm, *linear, kSomeRows), Each(kFirst));
    EXPECT_THAT(log_[0], HasSubstr("not measured: measuring needs"));
  }
}

TEST_F(CublasGemmTest, ABiasIsAddedWhereItNeedsNoRounding) {
  const auto gemm = Make();
  const auto exact = MakeLinear(kN, 2.0F);
  const auto third = MakeLinear(kN, 1.0F / 3);
  for (const auto* linear : {exact.get(), third.get()}) {
    gemm->Prepare(*linear, DType::kFloat32);
    gemm->Prepare(*linear, DType::kBFloat16);
  }
  EXPECT_TRUE(Multiply(*gemm, *exact, 5, 2.0F));
  const DeviceBuffer x = memory_.Allocate(kK * sizeof(bf16), "test").value();
  const DeviceBuffer y = memory_.Allocate(kN * sizeof(bf16), "test").value();
  const DeviceMatrix in{x.data(), DType::kBFloat16, 1, kK, kK};
  const DeviceMatrix out{y.data(), DType::kBFloat16, 1, kN, kN};
  EXPECT_TRUE(gemm->Multiply(*exact, in, out));
  EXPECT_EQ(LoadElement(out, 0, 3), 2.0F);
  EXPECT_FALSE(gemm->Multiply(*third, in, out));
}

TEST_F(CublasGemmTest, RowsWithoutTheAlignmentAreLeftToOthers) {
  const auto gemm = Make();
  const auto linear = MakeLinear();
  gemm->Prepare(*linear, DType::kFloat32);
  const DeviceBuffer buffer = memory_.Allocate(4096, "test").value();
  char* const at = static_cast<char*>(buffer.data());
  const DeviceMatrix x{at, DType::kBFloat16, 2, kK, kK};
  const DeviceMatrix y{at + 2048, DType::kFloat32, 2, kN, kN};
  DeviceMatrix shifted = y;
  shifted.data = at + 2048 + 4;
  DeviceMatrix wide = x;
  wide.row_stride = kK + 1;
  EXPECT_FALSE(gemm->Multiply(*linear, x, shifted));
  EXPECT_FALSE(gemm->Multiply(*linear, wide, y));
  EXPECT_TRUE(gemm->Multiply(*linear, x, y));
}

TEST_F(CublasGemmTest, WhatCannotWorkIsToldAtStart) {
  const std::vector<MeasuredAlgorithm> table = {Row(kSplit)};
  options_.table = table;
  EXPECT_THAT(MakeCublasGemm(queue_, nullptr, memory_, options_).status().message(),
              HasSubstr("splits K"));
  options_.table = {};
  Cublas().load_status = absl::FailedPreconditionError("not there");
  EXPECT_EQ(MakeCublasGemm(queue_, nullptr, memory_, options_).status(), Cublas().load_status);
  Cublas().load_status = absl::OkStatus();
  const DeviceBuffer hog = memory_.Allocate(memory_.AvailableBytes() - 16, "test").value();
  EXPECT_TRUE(
      absl::IsResourceExhausted(MakeCublasGemm(queue_, nullptr, memory_, options_).status()));
  EXPECT_EQ(Cublas().handles, 0);
}

TEST_F(CublasGemmTest, AProductThatNobodyPreparedIsABug) {
  const auto gemm = Make();
  const auto linear = MakeLinear();
  EXPECT_DEATH(Multiply(*gemm, *linear, 1), "24x16 of bfloat16 into float32 is not prepared");
}

// The tool's measurement.
class MeasureAlgorithmsTest : public CublasGemmTest {
 protected:
  MeasuredProduct Measure() {
    const auto matmul = CublasMatmul::Create(nullptr, memory_).value();
    const auto linear = MakeLinear();
    const ProductKind kind = *CublasMatmul::KindOf(*linear, DType::kFloat32);
    auto probe = AlgorithmProbe::Create(*matmul, queue_, memory_, *linear, DType::kFloat32,
                                        plan_.most_rows, options_.clock);
    return MeasureAlgorithms(*matmul, kind, plan_, *probe);
  }

  MeasuringPlan plan_{
      .timed_rows = {8, 64}, .compared_rows = {1, 7, 64}, .most_choices = 100, .most_rows = 64};
};

TEST_F(MeasureAlgorithmsTest, TheFastestOfThoseThatKeepBitsIsTaken) {
  AlgorithmConfig variant = kFirst;
  variant.id = 1;
  AlgorithmConfig narrow = kFirst;
  narrow.id = 2;
  Cublas().algorithms = {{.config = kSplit, .seconds = 1e-6},
                         {.config = kSilentSplit, .seconds = 1e-6},
                         {.config = variant, .depends_on_rows = true, .seconds = 2e-6},
                         {.config = narrow, .max_rows = 63, .seconds = 2e-6},
                         {.config = kFirst, .seconds = 5e-6},
                         {.config = kSecond, .seconds = 4e-6}};
  const MeasuredProduct measured = Measure();
  EXPECT_EQ(measured.fastest, kSecond);
  EXPECT_EQ(measured.num_tried, 3U);
  EXPECT_EQ(measured.num_invariant, 2U);
  ASSERT_THAT(measured.seconds, SizeIs(2));
  for (double seconds : measured.seconds) EXPECT_NEAR(seconds, 4e-6, 1e-12);
  ASSERT_THAT(Cublas().searches, SizeIs(2));
  EXPECT_EQ(Cublas().searches[0].rows, 8);
  EXPECT_EQ(Cublas().searches[1].rows, 64);
  EXPECT_EQ(Cublas().searches[0].most, 100);
}

TEST_F(MeasureAlgorithmsTest, WhereNoneKeepsBitsThereIsNoRow) {
  Cublas().algorithms = {{.config = kFirst, .depends_on_rows = true}};
  const MeasuredProduct measured = Measure();
  EXPECT_EQ(measured.fastest, std::nullopt);
  EXPECT_EQ(measured.num_tried, 1U);
}

// Where the batch may decide: the split is the fastest of few rows, kSecond of many.
class FastestGemmTest : public CublasGemmTest {
 protected:
  FastestGemmTest() {
    options_.batch_invariance = false;
    options_.cache_dir = directory_.path() + "/cache";
    Cublas().algorithms = {{.config = kFirst, .seconds = 30e-6},
                           {.config = kSplit, .seconds = 1e-6, .seconds_of_row = 0.25e-6},
                           {.config = kSecond, .seconds = 20e-6}};
  }

  // The products that preparing a new gemm takes, and then what it multiplies by.
  std::vector<AlgorithmConfig> Start(size_t* measured) {
    const auto gemm = Make();
    const auto linear = MakeLinear();
    Cublas().products.clear();
    gemm->Prepare(*linear, DType::kFloat32);
    *measured = Cublas().products.size();
    return Taken(*gemm, *linear, {1, 64, 65, kMaxRows});
  }

  testing::TempDir directory_;
};

TEST_F(FastestGemmTest, EachRangeOfRowsTakesItsFastestAndMaySplitK) {
  size_t measured = 0;
  EXPECT_THAT(Start(&measured), ElementsAre(kSplit, kSplit, kSecond, kSecond));
  EXPECT_GT(measured, 0U);
  ASSERT_THAT(Cublas().searches, SizeIs(2));
  EXPECT_EQ(Cublas().searches[0].rows, 64);
  EXPECT_EQ(Cublas().searches[1].rows, kMaxRows);
  EXPECT_EQ(Cublas().searches[0].most, 100);
  EXPECT_EQ(Cublas().searches[0].reductions, ~0U);
  EXPECT_FALSE(Make()->is_batch_invariant());
}

TEST_F(FastestGemmTest, TheNextStartTakesWhatThisOneMeasured) {
  size_t measured = 0;
  const auto first = Start(&measured);
  Cublas().searches.clear();
  EXPECT_EQ(Start(&measured), first);
  EXPECT_EQ(measured, 0U);
  EXPECT_THAT(Cublas().searches, IsEmpty());
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(FastestGemmTest, AnotherDriverLibraryOrGpuIsMeasuredAnew) {
  size_t measured = 0;
  Start(&measured);
  options_.gpu.driver_version = 13010;
  Start(&measured);
  EXPECT_GT(measured, 0U);
  options_.gpu.name = "Another";
  Start(&measured);
  EXPECT_GT(measured, 0U);
  Cublas().version = 130200;
  Start(&measured);
  EXPECT_GT(measured, 0U);
}

TEST_F(FastestGemmTest, ACachedAlgorithmThatIsRefusedIsMeasuredAnew) {
  size_t measured = 0;
  Start(&measured);
  Cublas().algorithms[1].max_rows = 10;  // the split
  EXPECT_THAT(Start(&measured), ElementsAre(kSecond, kSecond, kSecond, kSecond));
  EXPECT_GT(measured, 0U);
  Start(&measured);
  EXPECT_EQ(measured, 0U) << "and the file says so from then on";
}

TEST_F(FastestGemmTest, ADirectoryThatCannotBeWrittenIsOneLine) {
  options_.cache_dir = "/proc/no-such-directory";
  const auto gemm = Make();
  const auto linear = MakeLinear();
  const auto other = MakeLinear(kN + 8);
  gemm->Prepare(*linear, DType::kFloat32);
  gemm->Prepare(*other, DType::kFloat32);
  EXPECT_THAT(Taken(*gemm, *other, {1, kMaxRows}), ElementsAre(kSplit, kSecond));
  EXPECT_THAT(log_, ElementsAre(HasSubstr("--cache-dir: can't keep")));
}

TEST_F(FastestGemmTest, WithInvarianceTheCacheIsNotLookedAt) {
  size_t measured = 0;
  Start(&measured);
  options_.batch_invariance = true;
  EXPECT_THAT(Start(&measured), Each(kFirst));
}

}  // namespace
}  // namespace quire
