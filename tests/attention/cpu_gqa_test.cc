// Attention of the CPU backend at the edges of pages, tiles, splits and windows, on every
// instruction set, over a cache whose unseen memory is NaN and whose unseen block ids are wild.
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuBackend;
using ::quire::testing::GqaCase;
using ::quire::testing::MatchesReference;
using ::quire::testing::PagedKv;

class CpuGqaCaseTest : public ::testing::TestWithParam<std::tuple<CpuIsa, const GqaCase*>> {};

TEST_P(CpuGqaCaseTest, MatchesTheReference) {
  const auto& [isa, c] = GetParam();
  CpuBackend backend(isa);
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (bool drop_old_pages : {true, false}) {
      PagedKv kv(c->shape, c->block_tokens, dtype, c->entries, 7, drop_old_pages);
      kv.FillNormal(8);
      EXPECT_TRUE(MatchesReference(isa, backend, kv, dtype, 9)) << DTypeName(dtype);
      if (c->shape.window == 0) break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaCaseTest,
                         ::testing::Combine(testing::AllIsas(),
                                            ::testing::ValuesIn(testing::GqaCases())),
                         [](const ::testing::TestParamInfo<CpuGqaCaseTest::ParamType>& info) {
                           return std::string(CpuIsaName(std::get<0>(info.param))) + "_" +
                                  std::get<1>(info.param)->name;
                         });

class CpuGqaTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuGqaTest, EveryPageSizeGivesTheSameAnswer) {
  CpuBackend backend(GetParam());
  for (int block_tokens : {16, 32, 64}) {
    PagedKv kv({4, 2, 64, 64, 0}, block_tokens, DType::kBFloat16, {{20, 200}, {1, 130}});
    kv.FillNormal(3);
    EXPECT_TRUE(MatchesReference(GetParam(), backend, kv, DType::kBFloat16, 4));
  }
}

TEST_P(CpuGqaTest, TypesOfRowsAndCacheMayDiffer) {
  CpuBackend backend(GetParam());
  for (DType cache : {DType::kBFloat16, DType::kFloat32}) {
    for (DType act : {DType::kBFloat16, DType::kFloat32}) {
      PagedKv kv({4, 2, 64, 64, 0}, 16, cache, {{5, 50}});
      kv.FillNormal(3);
      EXPECT_TRUE(MatchesReference(GetParam(), backend, kv, act, 4));
    }
  }
}

TEST_P(CpuGqaTest, LargeScoresDoNotOverflow) {
  CpuBackend backend(GetParam());
  PagedKv kv({2, 1, 64, 64, 0}, 16, DType::kFloat32, {{1, 70}});
  kv.FillNormal(3);
  testing::HostMatrix qkv(DType::kFloat32, 1, kv.shape().qkv_width());
  qkv.FillNormal(1, 1000.0F);  // one key takes it all
  const auto out = testing::RunGqa(backend.attention(), kv, qkv);
  const auto want = testing::RunGqa(*MakeReferenceAttention(), kv, qkv);
  EXPECT_TRUE(testing::Near(out, want, [](int64_t, int64_t) { return 0.05; }));
}

TEST_P(CpuGqaTest, ARowThatSeesNothingIsZero) {
  CpuBackend backend(GetParam());
  const GqaShape shape{4, 2, 64, 64, 0};
  PagedKv kv(shape, 16, DType::kBFloat16, {{1, 1}});
  testing::HostMatrix qkv(DType::kBFloat16, 1, shape.qkv_width());
  qkv.FillNormal(1);
  testing::HostMatrix out(DType::kBFloat16, 1, 256);
  AttentionBatch batch = kv.batch();
  const int32_t kv_len[] = {0};
  const int32_t positions[] = {-1};
  batch.kv_len.data = kv_len;
  batch.positions.data = positions;
  backend.attention().Gqa({qkv.view(), out.view(), shape, 0.1F, kv.view()}, batch);
  for (int64_t i = 0; i < 256; ++i) EXPECT_EQ(out.at(0, i), 0.0F);
}

TEST_P(CpuGqaTest, NothingButTheResultIsWritten) {
  CpuBackend backend(GetParam());
  PagedKv kv({4, 2, 40, 40, 0}, 16, DType::kBFloat16, {{5, 50}});
  kv.FillNormal(3);
  const std::vector<uint8_t> pool = kv.bytes();
  testing::HostMatrix qkv(DType::kBFloat16, 5, kv.shape().qkv_width());
  qkv.FillNormal(1);
  const testing::HostMatrix before(qkv);
  testing::HostMatrix wide(DType::kBFloat16, 5, 200);
  const DeviceMatrix out{wide.view().data, DType::kBFloat16, 5, 160, 200};
  backend.attention().Gqa({qkv.view(), out, kv.shape(), 0.1F, kv.view()}, kv.batch());
  EXPECT_EQ(kv.bytes(), pool);
  EXPECT_TRUE(qkv.SameBits(before));
  for (int64_t r = 0; r < 5; ++r) {
    for (int64_t c = 160; c < 200; ++c) EXPECT_TRUE(std::isnan(wide.at(r, c)));
  }
}

TEST_P(CpuGqaTest, CopyPagesCopiesWholePagesAndNoMore) {
  CpuBackend backend(GetParam());
  PagedKv kv({4, 2, 40, 40, 0}, 16, DType::kBFloat16, {{1, 40}});
  kv.FillNormal(3);
  std::vector<uint8_t> want = kv.bytes();
  const auto blocks = kv.batch().blocks;
  // The pool has three blocks that are nobody's.
  std::vector<int32_t> unused;
  for (int32_t b = 0; b < 6; ++b) {
    if (std::find(blocks.data, blocks.data + 3, b) == blocks.data + 3) unused.push_back(b);
  }
  const std::pair<BlockId, BlockId> pages[] = {{BlockId(blocks.data[0]), BlockId(unused[0])},
                                               {BlockId(blocks.data[2]), BlockId(unused[2])}};
  const int64_t stride = kv.view().page_stride_bytes;
  for (const auto& [src, dst] : pages) {
    std::memcpy(want.data() + dst.value() * stride, want.data() + src.value() * stride,
                kv.view().layout.page_bytes());
  }
  backend.attention().CopyPages(kv.view(), pages);
  EXPECT_EQ(kv.bytes(), want);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
