// Nothing is allocated on the step path.
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/allocations.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::Allocations;
using ::quire::testing::CpuBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;

class CpuAttentionAllocationTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuAttentionAllocationTest, AStepAllocatesNothing) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  CpuBackend backend(GetParam());
  const GqaShape shape{4, 2, 64, 64, 0};
  PagedKv kv(shape, 16, DType::kBFloat16, {{30, 30}, {1, 1500}});
  kv.FillNormal(1);
  const RopeTables rope(2000, 64);
  HostMatrix qkv(DType::kBFloat16, 31, shape.qkv_width());
  qkv.FillNormal(2);
  HostMatrix out(DType::kBFloat16, 31, 256);
  PagedKv::SliceStorage storage;
  const AttentionBatch decode = kv.Slice(1, 0, 1, storage);  // cut along its keys
  const std::pair<BlockId, BlockId> pages[] = {{BlockId(0), BlockId(1)}};
  const int64_t before = Allocations();
  backend.attention().NormRopeWrite(
      {.qkv = qkv.view(), .shape = shape, .rope = rope.view(), .kv = kv.view()}, kv.batch());
  backend.attention().Gqa({qkv.view(), out.view(), shape, 0.1F, kv.view()}, kv.batch());
  backend.attention().Gqa({qkv.view().Rows(30, 1), out.view().Rows(30, 1), shape, 0.1F, kv.view()},
                          decode);
  backend.attention().CopyPages(kv.view(), pages);
  EXPECT_EQ(Allocations() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuAttentionAllocationTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
