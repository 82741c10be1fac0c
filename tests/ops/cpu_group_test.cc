// Groups of products: the same bits as one by one, in any company.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

class CpuGroupTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  std::unique_ptr<Ops> MakeOps(ThreadPool& pool, int64_t max_rows) {
    CpuOpsOptions options;
    options.max_rows = max_rows;
    return MakeCpuOps(pool, memory_, GetParam(), options);
  }

  ThreadPool pool_{3};
  HostMemory memory_{pool_};
};

// As MLA projects: every head has columns of its own in one wide x and one wide y.
TEST_P(CpuGroupTest, HeadsInViewsOfOneMatrixHaveTheBitsOfApply) {
  constexpr int kHeads = 16;
  constexpr int64_t kIn = 48;
  constexpr int64_t kOut = 130;
  for (DType act : kActs) {
    const auto ops = MakeOps(pool_, 200);
    std::vector<std::unique_ptr<Linear>> linears;
    linears.reserve(kHeads);
    for (int h = 0; h < kHeads; ++h) {
      linears.push_back(
          ops->MakeLinear(LinearSource(kIn, act, {{kOut, act, h % 2 == 0}}, h).spec()).value());
    }
    for (int64_t rows : {1, 2, 7, 64, 200}) {
      HostMatrix x(act, rows, kHeads * (kIn + 8));
      x.FillNormal(1);
      HostMatrix y(act, rows, kHeads * (kOut + 3));
      HostMatrix want(act, rows, kHeads * (kOut + 3));
      const auto view = [&](const HostMatrix& m, int64_t column, int64_t cols) {
        DeviceMatrix part = m.view();
        part.data = static_cast<char*>(part.data) + column * DTypeBytes(act);
        part.cols = cols;
        return part;
      };
      std::vector<Product> products;
      for (int h = 0; h < kHeads; ++h) {
        const DeviceMatrix in = view(x, h * (kIn + 8), kIn);
        products.push_back({linears[h].get(), in, view(y, h * (kOut + 3), kOut)});
        ops->Apply(*linears[h], in, view(want, h * (kOut + 3), kOut));
      }
      ops->ApplyGroup(products);
      EXPECT_TRUE(y.SameBits(want)) << rows;  // what lies between the views too
    }
  }
}

// More products than are at work at once, with more rows than the scratch holds, of any sizes, some
// empty, of both types.
TEST_P(CpuGroupTest, AnyGroupHasTheBitsOfApplyOnAnyNumberOfThreads) {
  std::mt19937 random(7);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    const auto ops = MakeOps(pool, 140);
    std::vector<std::unique_ptr<Linear>> linears;
    for (int i = 0; i < 20; ++i) {
      const DType act = kActs[i % 2];
      const LinearSource source(pick(1, 300), act, {{pick(1, 300), act, pick(0, 1) == 1}}, i);
      linears.push_back(ops->MakeLinear(source.spec()).value());
    }
    std::vector<HostMatrix> xs;
    std::vector<HostMatrix> ys;
    std::vector<HostMatrix> wants;
    std::vector<Product> products;
    constexpr int kProducts = 700;
    xs.reserve(kProducts);
    ys.reserve(kProducts);
    for (int i = 0; i < kProducts; ++i) {
      const Linear& linear = *linears[i % 20];
      const DType act = kActs[i % 2];
      const int64_t rows = pick(0, 9) == 0 ? pick(0, 140) : pick(0, 4);
      xs.emplace_back(act, rows, linear.in_features(), linear.in_features() + pick(0, 1));
      xs.back().FillNormal(i);
      ys.emplace_back(act, rows, linear.out_features());
      wants.emplace_back(act, rows, linear.out_features());
      products.push_back({&linear, xs.back().view(), ys.back().view()});
      ops->Apply(linear, xs.back().view(), wants.back().view());
    }
    ops->ApplyGroup(products);
    for (int i = 0; i < kProducts; ++i) ASSERT_TRUE(ys[i].SameBits(wants[i])) << i;
  }
}

TEST_P(CpuGroupTest, NoProductsAreNoWork) {
  const auto ops = MakeOps(pool_, 10);
  ops->ApplyGroup({});
  const LinearSource source(20, DType::kFloat32, {{20, DType::kFloat32, false}});
  const auto linear = ops->MakeLinear(source.spec()).value();
  const HostMatrix none(DType::kFloat32, 0, 20);
  const std::vector<Product> products(3, {linear.get(), none.view(), none.view()});
  ops->ApplyGroup(products);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGroupTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
