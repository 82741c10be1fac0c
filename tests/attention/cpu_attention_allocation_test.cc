// Nothing is allocated on the step path.
#include <cstdint>
#include <vector>

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
  CpuBackend backend(GetParam(), 2, {.encoder_tokens = 64, .encoder_token_bytes = 2 * 2 * 64 * 2});
  Attention& attention = backend.attention();
  const GqaShape shape{4, 2, 64, 64, 0};
  PagedKv kv(shape, 16, DType::kBFloat16, {{30, 30}, {1, 1500}}, 1, true, {3, true});
  kv.FillNormal(1);
  const RopeTables rope(2000, 64);
  HostMatrix qkv(DType::kBFloat16, 31, shape.qkv_width());
  qkv.FillNormal(2);
  HostMatrix out(DType::kBFloat16, 31, 256);
  HostMatrix q2(DType::kBFloat16, 31, 256);
  PagedKv::SliceStorage storage;
  const AttentionBatch decode = kv.Slice(1, 0, 1, storage);  // cut along its keys
  const std::pair<BlockId, BlockId> pages[] = {{BlockId(0), BlockId(1)}};
  const std::vector<float> numbers(2000, 0.5F);
  AttentionBatch batch = kv.batch();
  batch.rope_rows2 = batch.rope_rows;
  NormRopeWriteParams write{
      .qkv = qkv.view(), .shape = shape, .rope = rope.view(), .kv = kv.view()};
  GqaParams plain{qkv.view(), out.view(), shape, 0.1F, kv.view(), {}, {}};
  const int32_t query_start[] = {0, 30, 31};

  const int64_t before = Allocations();
  attention.NormRopeWrite(write, batch);
  attention.Gqa(plain, batch);
  GqaParams one = plain;
  one.qkv = qkv.view().Rows(30, 1);
  one.out = out.view().Rows(30, 1);
  attention.Gqa(one, decode);
  one.prefix = kv.prefix();
  one.scores = {
      .softcap = 3.0F, .alibi_slopes = numbers.data(), .bias = {}, .sink_logits = numbers.data()};
  attention.Gqa(one, decode);
  plain.scores.bias = {numbers.data(), 0, 1500};
  one.prefix = {};
  one.scores.bias = plain.scores.bias;
  attention.Gqa(one, decode);
  for (QkNorm norm : {QkNorm::kPerHead, QkNorm::kFullWidth, QkNorm::kPerHeadLayerNorm}) {
    write.qk_norm = norm;
    write.q2 = q2.view();
    attention.NormRopeWrite(write, batch);
    attention.NormRope(write, batch.rope_rows);
  }
  attention.Encode({qkv.view(), out.view(), shape, 0.1F, {}}, {query_start, 3});
  attention.CopyPages(kv.view(), pages);
  EXPECT_EQ(Allocations() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuAttentionAllocationTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
