// Embeddings and gathers of the CPU backend.
#include <cstdint>
#include <memory>
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

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr int64_t kWidths[] = {1, 7, 16, 33, 64, 100, 1024};

class CpuRowOpsTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  ThreadPool pool_{3};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeCpuOps(pool_, memory_, GetParam(), {});
};

TEST_P(CpuRowOpsTest, EmbedReadsItsOwnTable) {
  for (DType act : kActs) {
    for (DType stored : {DType::kBFloat16, DType::kFloat32, DType::kFloat16}) {
      for (int64_t width : kWidths) {
        const LinearSource source(width, act, {{50, stored, false}});
        const auto table = ops_->MakeEmbedding(source.spec().parts[0], width, act).value();
        EXPECT_EQ(table->bytes(), 50 * width * DTypeBytes(act));
        const std::vector<int32_t> ids = {49, 0, 7, 7};
        HostMatrix out(DType::kFloat32, 4, width, width + 2);
        ops_->Embed(*table, {ids.data(), 4}, {}, out.view());
        for (int64_t t = 0; t < 4; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            ASSERT_EQ(out.at(t, i), RoundTo(act, source.weight(ids[t], i)));
          }
        }
      }
    }
  }
}

// Of a table of its own and of a tied one: scaled, and added to what is there.
TEST_P(CpuRowOpsTest, EmbeddingsAreScaledAndAccumulated) {
  for (DType act : kActs) {
    for (int64_t width : kWidths) {
      const LinearSource source(width, act, {{50, act, false}});
      const auto linear = ops_->MakeLinear(source.spec()).value();
      for (const auto& table : {ops_->TieEmbedding(*linear),
                                ops_->MakeEmbedding(source.spec().parts[0], width, act).value()}) {
        const std::vector<int32_t> ids = {49, 0, 7};
        HostMatrix out(DType::kFloat32, 3, width, width + 2);
        out.FillNormal(1);
        HostMatrix before(out);
        ops_->Embed(*table, {ids.data(), 3}, {.accumulate = true}, out.view());
        for (int64_t t = 0; t < 3; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            ASSERT_EQ(out.at(t, i), before.at(t, i) + source.weight(ids[t], i));
          }
        }
        ops_->Embed(*table, {ids.data(), 3}, {.scale = 1.7F}, out.view());
        for (int64_t t = 0; t < 3; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            ASSERT_EQ(out.at(t, i), 1.7F * source.weight(ids[t], i));
          }
        }
      }
    }
  }
}

TEST_P(CpuRowOpsTest, GatherRowsCopiesRows) {
  for (const DType act : {DType::kFloat32, DType::kBFloat16}) {
    HostMatrix x(act, 9, 40, 44);
    x.FillNormal(1);
    const std::vector<int32_t> rows = {8, 0, 3, 3, 8};
    HostMatrix out(act, 5, 40, 41);
    ops_->GatherRows(x.view(), {rows.data(), 5}, out.view());
    for (int64_t r = 0; r < 5; ++r) EXPECT_TRUE(out.SameRowBits(r, x, rows[r]));
  }
}

TEST_P(CpuRowOpsTest, SumRowsHasTheReferencesBitsHoweverTheRowsAreCut) {
  const auto reference = MakeReferenceOps(memory_);
  for (const DType act : {DType::kFloat32, DType::kBFloat16}) {
    HostMatrix x(act, 23, 40, 44);
    x.FillNormal(1);
    std::vector<float> whole(40, 0.5F);
    std::vector<float> cut = whole;
    std::vector<float> want = whole;
    ops_->SumRows(x.view(), absl::MakeSpan(whole));
    ops_->SumRows(x.view().Rows(0, 9), absl::MakeSpan(cut));
    ops_->SumRows(x.view().Rows(9, 14), absl::MakeSpan(cut));
    reference->SumRows(x.view(), absl::MakeSpan(want));
    EXPECT_EQ(whole, want);
    EXPECT_EQ(cut, want);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuRowOpsTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
