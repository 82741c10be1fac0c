// Products of prompt rows by the real library. Skipped where there is no GPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "core/cuda/gpu_identity.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "ops/cuda/cublas_gemm.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

constexpr int64_t kMaxRows = 2048;

struct Case {
  DType act;
  DType out;
  int64_t n;
  int64_t k;
};

class CublasGemmDeviceTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto memory = CudaMemory::Make(0, 0.25);
    if (!memory.ok()) GTEST_SKIP() << memory.status();
    memory_ = *std::move(memory);
    stream_ = std::make_unique<CudaStream>();
    options_ = {.max_rows = kMaxRows, .gpu = ReadGpuIdentity(0)};
    options_.log = [](absl::string_view line) { RecordProperty("log", std::string(line)); };
    const Case& c = GetParam();
    x_ = Random(kMaxRows * c.k, c.act, x_values_);
    linear_ = std::make_unique<CudaLinear>(c.k, c.n, c.act, Random(c.n * c.k, c.act, w_values_),
                                           DeviceBuffer(), DeviceBuffer());
  }

  DeviceBuffer Random(int64_t size, DType dtype, std::vector<float>& values) {
    std::mt19937 random(static_cast<uint32_t>(size));
    std::normal_distribution<float> normal;
    std::vector<char> bytes(static_cast<size_t>(size) * DTypeBytes(dtype));
    values.resize(size);
    for (int64_t i = 0; i < size; ++i) {
      StoreElement(bytes.data(), dtype, i, normal(random));
      values[i] = LoadElement(bytes.data(), dtype, i);
    }
    DeviceBuffer buffer = memory_->Allocate(bytes.size(), "test").value();
    memory_->CopyFromHost(buffer.data(), bytes.data(), bytes.size());
    return buffer;
  }

  // y of rows [first, first + rows) of x.
  std::vector<char> Multiply(PromptGemm& gemm, int64_t first, int64_t rows) {
    const Case& c = GetParam();
    std::vector<char> y(static_cast<size_t>(rows * c.n) * DTypeBytes(c.out));
    const DeviceBuffer buffer = memory_->Allocate(y.size(), "test").value();
    const DeviceMatrix x{x_.data(), c.act, kMaxRows, c.k, c.k};
    EXPECT_TRUE(
        gemm.Multiply(*linear_, x.Rows(first, rows), {buffer.data(), c.out, rows, c.n, c.n}));
    stream_->CopyToHost(y.data(), buffer.data(), y.size());
    stream_->Wait();
    return y;
  }

  // Against sums in double: each of K products is rounded into fp32 once at most, the result once.
  void ExpectProduct(const std::vector<char>& y, int64_t first, int64_t row) {
    const Case& c = GetParam();
    const double rounding = c.out == DType::kBFloat16 ? 0x1p-8 : 0x1p-23;
    for (int64_t n = 0; n < c.n; n += 97) {
      double sum = 0.0;
      double size = 0.0;
      for (int64_t k = 0; k < c.k; ++k) {
        const double product = static_cast<double>(x_values_[(first + row) * c.k + k]) *
                               static_cast<double>(w_values_[n * c.k + k]);
        sum += product;
        size += std::abs(product);
      }
      const double tolerance = static_cast<double>(c.k) * 0x1p-23 * size + rounding * std::abs(sum);
      EXPECT_NEAR(LoadElement(y.data(), c.out, row * c.n + n), sum, tolerance) << row << " " << n;
    }
  }

  std::unique_ptr<CudaMemory> memory_;
  std::unique_ptr<CudaStream> stream_;
  CublasGemmOptions options_;
  std::vector<float> x_values_;
  std::vector<float> w_values_;
  DeviceBuffer x_;
  std::unique_ptr<CudaLinear> linear_;
};

TEST_P(CublasGemmDeviceTest, ARowHasTheSameBitsInEveryNumberOfRows) {
  auto gemm = MakeCublasGemm(*stream_, stream_->get(), *memory_, options_);
  if (absl::IsFailedPrecondition(gemm.status())) GTEST_SKIP() << gemm.status();
  ASSERT_TRUE(gemm.ok()) << gemm.status();
  (*gemm)->Prepare(*linear_, GetParam().out);
  const std::vector<char> all = Multiply(**gemm, 0, kMaxRows);
  const size_t row_bytes = all.size() / kMaxRows;
  for (int64_t row : {0, 1, 130, 2047}) ExpectProduct(all, 0, row);
  for (int64_t rows : {1, 2, 3, 8, 17, 100, 128, 129, 777, 2047}) {
    for (int64_t first : {int64_t{0}, (kMaxRows - rows) / 2, kMaxRows - rows}) {
      const std::vector<char> some = Multiply(**gemm, first, rows);
      EXPECT_EQ(std::memcmp(some.data(), all.data() + first * row_bytes, some.size()), 0)
          << rows << " rows from " << first;
    }
  }
}

TEST_P(CublasGemmDeviceTest, WithoutInvarianceTheProductsAreStillRightAndKept) {
  testing::TempDir directory;
  options_.batch_invariance = false;
  options_.cache_dir = directory.path();
  for (int start = 0; start < 2; ++start) {
    auto gemm = MakeCublasGemm(*stream_, stream_->get(), *memory_, options_);
    if (absl::IsFailedPrecondition(gemm.status())) GTEST_SKIP() << gemm.status();
    ASSERT_TRUE(gemm.ok()) << gemm.status();
    (*gemm)->Prepare(*linear_, GetParam().out);
    for (int64_t rows : {1, 64, 65, 1000, 2048}) {
      const std::vector<char> y = Multiply(**gemm, 0, rows);
      ExpectProduct(y, 0, 0);
      ExpectProduct(y, 0, rows - 1);
    }
    EXPECT_FALSE(std::filesystem::is_empty(directory.path()));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CublasGemmDeviceTest,
                         ::testing::Values(Case{DType::kBFloat16, DType::kBFloat16, 3072, 1024},
                                           Case{DType::kBFloat16, DType::kFloat32, 1024, 3072},
                                           Case{DType::kBFloat16, DType::kFloat32, 4096, 4096},
                                           Case{DType::kFloat32, DType::kFloat32, 512, 256}),
                         [](const auto& info) {
                           return absl::StrCat(DTypeName(info.param.act), "_",
                                               DTypeName(info.param.out), "_", info.param.n, "x",
                                               info.param.k);
                         });

}  // namespace
}  // namespace quire
