// Products of the CPU backend: right on every instruction set, and a row's bits are its own.
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;
using ::quire::testing::PartSpec;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

double RowNorm(const HostMatrix& x, int64_t row) {
  double sum = 0.0;
  for (int64_t i = 0; i < x.view().cols; ++i) sum += double{x.at(row, i)} * x.at(row, i);
  return std::sqrt(sum);
}

class CpuLinearTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  std::unique_ptr<Ops> MakeOps(ThreadPool& pool, int64_t max_rows = 300) {
    CpuOpsOptions options;
    options.max_rows = max_rows;
    return MakeCpuOps(pool, memory_, GetParam(), options);
  }

  // Applies both backends to the same random x and compares. Sums of K products, each rounded to
  // fp32 at the size of |x| |w| at most, walk off by sqrt(K) roundings; then y is rounded once.
  void ExpectMatchesReference(const LinearSource& source, int64_t rows, DType y_dtype,
                              int64_t x_stride = 0, int64_t y_stride = 0) {
    const int64_t k = source.spec().in_features;
    const int64_t n = source.out_features();
    const auto ops = MakeOps(pool_);
    const auto reference = MakeReferenceOps(memory_);
    const auto linear = ops->MakeLinear(source.spec()).value();
    const auto expected = reference->MakeLinear(source.spec()).value();
    EXPECT_EQ(linear->in_features(), k);
    EXPECT_EQ(linear->out_features(), n);
    HostMatrix x(source.spec().act_dtype, rows, k, x_stride);
    x.FillNormal(5);
    HostMatrix y(y_dtype, rows, n, y_stride);
    HostMatrix want(y_dtype, rows, n, y_stride);
    ops->Apply(*linear, x.view(), y.view());
    reference->Apply(*expected, x.view(), want.view());
    const std::vector<double> w_norms = source.RowNorms();
    std::vector<double> x_norms;
    for (int64_t r = 0; r < rows; ++r) x_norms.push_back(RowNorm(x, r));
    const double walk = 2.0 * std::sqrt(static_cast<double>(k)) * 0x1p-24;
    EXPECT_TRUE(testing::Near(y, want,
                              [&](int64_t r, int64_t c) {
                                return walk * x_norms[r] * w_norms[c] +
                                       2 * testing::RoundingError(y_dtype, want.at(r, c));
                              }))
        << "K " << k << " N " << n << " M " << rows;
  }

  ThreadPool pool_{2};
  HostMemory memory_{pool_};
};

TEST_P(CpuLinearTest, MatchesTheReferenceAtAnyShape) {
  for (DType act : kActs) {
    for (int64_t k : {1, 2, 31, 32, 33, 130, 512, 513}) {
      for (int64_t n : {1, 63, 64, 65, 200}) {
        ExpectMatchesReference({k, act, {{n, act, false}}}, 3, act);
      }
    }
  }
}

TEST_P(CpuLinearTest, MatchesTheReferenceOverSeveralChunksOfK) {
  for (DType act : kActs) {
    for (int64_t k : {1000, 1025, 2500}) {
      const LinearSource source(k, act, {{66, act, false}});
      for (int64_t m : {1, 40}) ExpectMatchesReference(source, m, act);
    }
  }
}

TEST_P(CpuLinearTest, MatchesTheReferenceAtAnyNumberOfRows) {
  for (DType act : kActs) {
    const LinearSource source(96, act, {{80, act, true}});
    for (int64_t m = 1; m <= 40; ++m) ExpectMatchesReference(source, m, act);
    for (int64_t m : {63, 64, 100, 128, 193, 257, 300}) ExpectMatchesReference(source, m, act);
  }
}

TEST_P(CpuLinearTest, PartsOfAnyTypeAreMergedWithTheirBiases) {
  const std::vector<PartSpec> parts = {{70, DType::kFloat32, true},
                                       {1, DType::kFloat16, false},
                                       {64, DType::kBFloat16, true},
                                       {33, DType::kFloat16, true}};
  for (DType act : kActs) {
    ExpectMatchesReference({100, act, parts}, 5, act);
    ExpectMatchesReference({100, act, parts}, 5, DType::kFloat32);
  }
}

TEST_P(CpuLinearTest, RowsMayLieApart) {
  for (DType act : kActs) {
    ExpectMatchesReference({100, act, {{70, act, false}}}, 17, act, 131, 99);
    ExpectMatchesReference({64, act, {{64, act, false}}}, 17, DType::kFloat32, 64, 99);
  }
}

TEST_P(CpuLinearTest, NothingButTheResultIsWritten) {
  const LinearSource source(64, DType::kBFloat16, {{70, DType::kBFloat16, false}});
  const auto ops = MakeOps(pool_);
  const auto linear = ops->MakeLinear(source.spec()).value();
  HostMatrix x(DType::kBFloat16, 20, 64);
  x.FillNormal(1);
  HostMatrix wide(DType::kBFloat16, 20, 100);  // NaN until written
  const DeviceMatrix y{wide.view().data, DType::kBFloat16, 20, 70, 100};
  ops->Apply(*linear, x.view(), y);
  for (int64_t r = 0; r < 20; ++r) {
    EXPECT_FALSE(std::isnan(wide.at(r, 69)));
    for (int64_t c = 70; c < 100; ++c) EXPECT_TRUE(std::isnan(wide.at(r, c)));
  }
}

TEST_P(CpuLinearTest, NoRowsIsNoWork) {
  const LinearSource source(64, DType::kBFloat16, {{64, DType::kBFloat16, false}});
  const auto ops = MakeOps(pool_);
  const auto linear = ops->MakeLinear(source.spec()).value();
  ops->Apply(*linear, HostMatrix(DType::kBFloat16, 0, 64).view(),
             HostMatrix(DType::kBFloat16, 0, 64).view());
}

TEST_P(CpuLinearTest, ARowHasTheSameBitsAtEveryM) {
  for (DType act : kActs) {
    const LinearSource source(1100, act, {{70, act, true}});
    const auto ops = MakeOps(pool_);
    const auto linear = ops->MakeLinear(source.spec()).value();
    HostMatrix x(act, 300, 1100);
    x.FillNormal(9);
    HostMatrix all(act, 300, 70);
    ops->Apply(*linear, x.view(), all.view());
    for (int64_t m = 1; m < 300; m += m < 40 ? 1 : 22) {
      const int64_t first = 300 - m;  // so that a row's place changes too
      HostMatrix y(act, m, 70);
      ops->Apply(*linear, x.view().Rows(first, m), y.view());
      for (int64_t r = 0; r < m; ++r) {
        ASSERT_TRUE(y.SameRowBits(r, all, first + r)) << "M " << m << " row " << r;
      }
    }
  }
}

TEST_P(CpuLinearTest, BitsDoNotDependOnTheThreads) {
  for (DType act : kActs) {
    const LinearSource source(600, act, {{300, act, false}});
    HostMatrix x(act, 50, 600);
    x.FillNormal(2);
    HostMatrix first(act, 50, 300);
    for (int threads : {1, 2, 3, 5}) {
      ThreadPool pool(threads);
      const auto ops = MakeOps(pool);
      const auto linear = ops->MakeLinear(source.spec()).value();
      HostMatrix y(act, 50, 300);
      ops->Apply(*linear, x.view(), y.view());
      if (threads == 1) {
        ops->Apply(*linear, x.view(), first.view());
      }
      EXPECT_TRUE(y.SameBits(first)) << threads << " threads";
    }
  }
}

TEST_P(CpuLinearTest, ARowOfNanStaysAlone) {
  const LinearSource source(128, DType::kBFloat16, {{64, DType::kBFloat16, false}});
  const auto ops = MakeOps(pool_);
  const auto linear = ops->MakeLinear(source.spec()).value();
  HostMatrix x(DType::kBFloat16, 30, 128);
  x.FillNormal(4);
  for (int64_t i = 0; i < 128; ++i) x.set(7, i, NAN);
  HostMatrix y(DType::kBFloat16, 30, 64);
  ops->Apply(*linear, x.view(), y.view());
  for (int64_t r = 0; r < 30; ++r) EXPECT_EQ(std::isnan(y.at(r, 0)), r == 7) << r;
}

TEST_P(CpuLinearTest, ATiedEmbeddingReadsThePackedWeightsExactly) {
  for (DType act : kActs) {
    for (DType stored : {DType::kBFloat16, DType::kFloat32, DType::kFloat16}) {
      for (int64_t width : {1, 31, 100}) {
        const LinearSource source(width, act, {{70, stored, false}, {60, stored, false}});
        const auto ops = MakeOps(pool_);
        const auto linear = ops->MakeLinear(source.spec()).value();
        const auto table = ops->TieEmbedding(*linear);
        EXPECT_EQ(table->bytes(), 0U);
        std::vector<int32_t> ids = {0, 63, 64, 69, 70, 129, 5, 5};
        HostMatrix out(DType::kFloat32, 8, width);
        ops->Embed(*table, {ids.data(), 8}, {}, out.view());
        for (int64_t t = 0; t < 8; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            ASSERT_EQ(out.at(t, i), RoundTo(act, source.weight(ids[t], i)));
          }
        }
      }
    }
  }
}

TEST_P(CpuLinearTest, BytesCountThePaddedPanelsAndTheBias) {
  const LinearSource source(33, DType::kBFloat16, {{65, DType::kBFloat16, true}});
  const auto linear = MakeOps(pool_)->MakeLinear(source.spec()).value();
  EXPECT_EQ(linear->bytes(), 128U * 64 * 2 + 65 * 4);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuLinearTest, testing::AllIsas(), testing::IsaName);

// AVX2 and AVX-512 add the same products in the same order, in lanes of other widths.
TEST(CpuLinearAcrossIsas, FmaIsasGiveTheSameBits) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  const std::vector<CpuIsa> isas = AvailableCpuIsas();
  for (DType act : kActs) {
    const LinearSource source(1500, act, {{70, act, true}});
    HostMatrix x(act, 20, 1500);
    x.FillNormal(2);
    std::vector<HostMatrix> results;
    for (CpuIsa isa : isas) {
      if (isa != CpuIsa::kAvx2 && isa != CpuIsa::kAvx512) continue;
      const auto ops = MakeCpuOps(pool, memory, isa, {});
      const auto linear = ops->MakeLinear(source.spec()).value();
      results.emplace_back(act, 20, 70);
      ops->Apply(*linear, x.view(), results.back().view());
      EXPECT_TRUE(results.back().SameBits(results.front()));
    }
  }
}

// Widening is exact, so bf16 weights give what fp32 weights of the same values give.
TEST(CpuLinearAcrossTypes, WidenedBf16EqualsFloatToTheBit) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  for (CpuIsa isa : AvailableCpuIsas()) {
    if (isa == CpuIsa::kAvx512Bf16) continue;  // multiplies pairs by vdpbf16ps
    const LinearSource narrow(700, DType::kBFloat16, {{70, DType::kBFloat16, false}});
    LinearSpec wide = narrow.spec();
    wide.act_dtype = DType::kFloat32;
    const auto ops = MakeCpuOps(pool, memory, isa, {});
    const auto narrow_linear = ops->MakeLinear(narrow.spec()).value();
    const auto wide_linear = ops->MakeLinear(wide).value();
    HostMatrix x(DType::kBFloat16, 50, 700);
    x.FillNormal(2);
    HostMatrix x_wide(DType::kFloat32, 50, 700);
    for (int64_t r = 0; r < 50; ++r) {
      for (int64_t i = 0; i < 700; ++i) x_wide.set(r, i, x.at(r, i));
    }
    HostMatrix y(DType::kFloat32, 50, 70);
    HostMatrix y_wide(DType::kFloat32, 50, 70);
    ops->Apply(*narrow_linear, x.view(), y.view());
    ops->Apply(*wide_linear, x_wide.view(), y_wide.view());
    EXPECT_TRUE(y.SameBits(y_wide)) << CpuIsaName(isa);
  }
}

}  // namespace
}  // namespace quire
