// The CUDA backend of attention.h and mla.h against the reference, and the law of rows, on the
// device itself: every named case there, a few in the emulation.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attention/cuda/cuda_attention.h"
#include "attention/cuda/cuda_mla.h"
#include "attention/cuda/gqa_decode_args.h"
#include "gtest/gtest.h"
#include "tests/attention/cuda_gqa_bounds.h"
#include "tests/attention/encode_cases.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/mla_harness.h"
#include "tests/attention/mla_norm_rope_harness.h"
#include "tests/attention/norm_rope_harness.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/on_device.h"
#include "tests/testing/test_device.h"

namespace quire::testing {
namespace {

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};
constexpr int64_t kMostRows = 256;
constexpr int64_t kMostContext = 2048;

class OnCudaDevice {
 public:
  OnCudaDevice() : device_(OpenTestDevice(kMostRows).value()) {
    const CudaAttentionLimits limits{.max_rows = kMostRows,
                                     .num_heads = 71,
                                     .head_dim = kGqaDecodeMostDim,
                                     .value_dim = kGqaDecodeMostDim,
                                     .multiprocessors = device_.multiprocessors,
                                     .max_splits = GqaDecodeMaxSplits(kMostContext, 0, 131),
                                     .workspace_bytes = int64_t{8} << 20};
    attention_ = MakeCudaAttention(*device_.queue, *device_.memory, limits).value();
    prompts_ = MakeAttentionOnDevice(*attention_, *device_.memory, *device_.queue);
    generated_ = MakeAttentionOnDevice(*attention_, *device_.memory, *device_.queue, true);
  }

  // All rows of a prompt, or all generated ones.
  Attention& prompts() { return *prompts_; }
  Attention& generated() { return *generated_; }

  // Of `shape`, for as long as this lives.
  std::unique_ptr<Mla> MakeMla(const MlaShape& shape, DType cache) {
    real_mla_.push_back(MakeCudaMla(*device_.queue, *device_.memory,
                                    {.shape = shape,
                                     .max_rows = kMostRows,
                                     .max_context = kMostContext,
                                     .cache_dtype = cache},
                                    device_.multiprocessors)
                            .value());
    return MakeMlaOnDevice(*real_mla_.back(), *device_.memory, *device_.queue);
  }

 private:
  CudaDevice device_;
  std::unique_ptr<Attention> attention_, prompts_, generated_;
  std::vector<std::unique_ptr<Mla>> real_mla_;
};

// The cases that the emulation takes, by name, or all.
template <typename Case, size_t kCount>
std::vector<const Case*> Some(const Case (&cases)[kCount], const std::vector<std::string>& names) {
  std::vector<const Case*> some = PointersTo(cases);
  if (TestDeviceIsEmulated()) {
    std::erase_if(some, [&](const Case* c) {
      return std::find(names.begin(), names.end(), c->name) == names.end();
    });
  }
  return some;
}
template <typename Case>
std::string NameOf(const ::testing::TestParamInfo<const Case*>& info) {
  return info.param->name;
}

bool IsDecoded(const GqaShape& shape) {
  return std::max(shape.head_dim, shape.value_dim) <= kGqaDecodeMostDim;
}

// The law: each entry's rows alone, and each row of it alone, have the bits of the whole batch.
void ExpectRowsAreTheirOwn(Attention& attention, const PagedKv& kv, DType dtype,
                           const GqaExtras& extras = {}) {
  HostMatrix qkv(dtype, kv.num_tokens(), kv.shape().qkv_width(), kv.shape().qkv_width() + 6);
  qkv.FillNormal(9);
  const HostMatrix whole = RunGqa(attention, kv, qkv, extras);
  for (int64_t e = 0; e < kv.num_entries(); ++e) {
    const int32_t first = kv.batch().query_start.data[e];
    const int32_t rows = kv.batch().query_start.data[e + 1] - first;
    if (rows == 0) continue;
    for (const auto& [begin, end] :
         {std::pair{0, rows}, {0, 1}, {rows / 2, rows}, {rows - 1, rows}}) {
      if (begin == end) continue;
      const HostMatrix some = RunGqaSlice(attention, kv, qkv, e, begin, end, extras);
      for (int32_t r = begin; r < end; ++r) {
        ASSERT_TRUE(some.SameRowBits(r - begin, whole, first + r))
            << DTypeName(dtype) << " entry " << e << " row " << r << " of [" << begin << ", " << end
            << ")";
      }
    }
  }
}

class CudaGqaBackend : public ::testing::TestWithParam<const GqaCase*> {
 protected:
  void SetUp() override { QUIRE_SKIP_WITHOUT_TEST_DEVICE(); }
};

TEST_P(CudaGqaBackend, MatchesTheReferenceAndARowIsItsOwn) {
  const GqaCase& c = *GetParam();
  OnCudaDevice device;
  for (DType dtype : kTypes) {
    PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, dtype == DType::kBFloat16);
    kv.FillNormal(8);
    ExpectGqaReference(device.prompts(), kv, dtype);
    ExpectRowsAreTheirOwn(device.prompts(), kv, dtype);
    if (!IsDecoded(c.shape)) continue;
    ExpectGqaReference(device.generated(), kv, dtype);
    ExpectRowsAreTheirOwn(device.generated(), kv, dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGqaBackend,
                         ::testing::ValuesIn(Some(kGqaCases, {"PageEdgePlusOne", "GroupOfThree",
                                                              "WindowOddStart"})),
                         NameOf<GqaCase>);

class CudaGqaRulesBackend : public ::testing::TestWithParam<const GqaRulesCase*> {
 protected:
  void SetUp() override { QUIRE_SKIP_WITHOUT_TEST_DEVICE(); }
};

TEST_P(CudaGqaRulesBackend, MatchesTheReferenceAndARowIsItsOwn) {
  const GqaRulesCase& c = *GetParam();
  OnCudaDevice device;
  for (DType dtype : kTypes) {
    PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, dtype == DType::kBFloat16, c.prefix);
    kv.FillNormal(8);
    const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
    HostMatrix q2(dtype, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
    q2.FillNormal(6);
    const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
    ExpectGqaReference(device.prompts(), kv, dtype, extras);
    ExpectRowsAreTheirOwn(device.prompts(), kv, dtype, extras);
    if (!IsDecoded(c.shape)) continue;
    ExpectGqaReference(device.generated(), kv, dtype, extras);
    ExpectRowsAreTheirOwn(device.generated(), kv, dtype, extras);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGqaRulesBackend,
                         ::testing::ValuesIn(Some(kGqaRulesCases, {"ValuesOfTwo", "SinksOneToken",
                                                                   "LearnedOne", "BiasInAWindow"})),
                         NameOf<GqaRulesCase>);

class CudaEncodeBackend : public ::testing::TestWithParam<const EncodeCase*> {
 protected:
  void SetUp() override { QUIRE_SKIP_WITHOUT_TEST_DEVICE(); }
};

TEST_P(CudaEncodeBackend, MatchesTheReference) {
  const EncodeCase& c = *GetParam();
  OnCudaDevice device;
  for (DType dtype : kTypes) {
    const std::vector<int32_t> starts = Starts(c.lengths);
    HostMatrix qkv(dtype, starts.back(), c.shape.qkv_width(), c.shape.qkv_width() + 6);
    qkv.FillNormal(9);
    const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(c.lengths), 5);
    const HostMatrix out = RunEncode(device.prompts(), c.shape, qkv, starts, rules.rules());
    const HostMatrix want =
        RunEncode(*MakeReferenceAttention(), c.shape, qkv, starts, rules.rules());
    EXPECT_TRUE(Near(out, want, [&](int64_t r, int64_t col) {
      return AttendedBound(BoundOf(c.shape, dtype, dtype), c.shape.head_dim, dtype, dtype,
                           want.at(r, col));
    })) << DTypeName(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaEncodeBackend,
                         ::testing::ValuesIn(Some(kEncodeCases, {"OddLengths", "WindowOfTwo"})),
                         NameOf<EncodeCase>);

class CudaAttentionBackend : public ::testing::Test {
 protected:
  void SetUp() override { QUIRE_SKIP_WITHOUT_TEST_DEVICE(); }
};

TEST_F(CudaAttentionBackend, NormsRotationsAndWritesMatchTheReference) {
  OnCudaDevice device;
  Attention& attention = device.prompts();
  if (TestDeviceIsEmulated()) {
    ExpectNormRopeMatchesReference(attention, RopeCase{.entries = {{3, 20}}});
    return;
  }
  for (const auto& cases : {RopeTypeCases(), RopeHeadDimCases(), RopeValueDimCases(),
                            RopeNormCases(), PartialRopeCases()}) {
    ExpectNormRopeMatchesReference(attention, cases);
  }
  ExpectQueriesTurnedTwice(attention, {.norm = QkNorm::kPerHead});
}

TEST_F(CudaAttentionBackend, PagesAreCopied) {
  OnCudaDevice device;
  PagedKv kv({2, 2, 64, 32, 0}, 16, DType::kBFloat16, {{1, 40}});
  kv.FillNormal(8);
  const std::vector<uint8_t> before = kv.bytes();
  const auto page = static_cast<size_t>(kv.view().page_stride_bytes);
  device.prompts().CopyPages(kv.view(), {{BlockId(1), BlockId(0)}});
  EXPECT_TRUE(std::equal(kv.bytes().begin(), kv.bytes().begin() + page, before.begin() + page));
  EXPECT_TRUE(std::equal(kv.bytes().begin() + page, kv.bytes().end(), before.begin() + page));
}

class CudaMlaBackend : public CudaAttentionBackend {
 protected:
  struct Case {
    MlaShape shape;
    int block_tokens;
    std::vector<KvEntry> entries;
  };

  static std::vector<Case> Cases() {
    const MlaShape small{2, 32, 16, 8, 16};
    const MlaShape ropes{2, 34, 10, 6, 14, true};
    std::vector<Case> cases = {{small, 16, {{1, 1}, {3, 17}, {0, 4}}}, {ropes, 16, {{2, 20}}}};
    if (TestDeviceIsEmulated()) return cases;
    const MlaShape lite{16, 512, 128, 64, 128};
    const MlaShape large{128, 512, 128, 64, 128};
    cases.push_back({lite, 64, {{1, 1}, {1, 255}, {1, 256}, {1, 257}, {1, 700}, {40, 90}}});
    cases.push_back({large, 64, {{1, 65}, {9, 300}}});
    cases.push_back({small, 32, {{1, 1700}, {33, 90}, {100, 100}}});
    cases.push_back({{17, 34, 10, 6, 14}, 16, {{2, 40}}});
    cases.push_back({{18, 96, 48, 16, 32, true}, 64, {{1, 70}, {20, 20}}});
    return cases;
  }

  static void ExpectSameRows(const HostMatrix& some, const HostMatrix& whole, int32_t first) {
    for (int64_t r = 0; r < some.view().rows; ++r) {
      ASSERT_TRUE(some.SameRowBits(r, whole, first + r)) << "row " << first + r;
    }
  }
};

TEST_F(CudaMlaBackend, GeneratedRowsMatchTheReferenceAndAreTheirOwn) {
  OnCudaDevice device;
  for (const Case& c : Cases()) {
    for (DType dtype : kTypes) {
      PagedKv kv(CacheShape(c.shape), c.block_tokens, dtype, c.entries);
      kv.FillNormal(1);
      const auto mla = device.MakeMla(c.shape, dtype);
      HostMatrix latent(dtype, kv.num_tokens(), c.shape.latent_width());
      HostMatrix q(dtype, kv.num_tokens(), c.shape.q_width());
      latent.FillNormal(1);
      q.FillNormal(2);
      const HostMatrix got = RunAbsorbed(*mla, c.shape, kv, kv.batch(), latent.view(), q.view());
      const HostMatrix want =
          RunAbsorbed(*MakeReferenceMla(), c.shape, kv, kv.batch(), latent.view(), q.view());
      const int64_t dim = c.shape.latent_dim + c.shape.rope_dim;
      EXPECT_TRUE(Near(got, want, [&](int64_t r, int64_t col) {
        return MlaBound(CpuIsa::kAvx512Bf16, dtype, dtype, dtype, dim, want.at(r, col));
      })) << DTypeName(dtype);
      for (int64_t e = 0; e < kv.num_entries(); ++e) {
        const int32_t first = kv.batch().query_start.data[e];
        const int32_t rows = kv.batch().query_start.data[e + 1] - first;
        if (rows == 0) continue;
        PagedKv::SliceStorage storage;
        const AttentionBatch last = kv.Slice(e, rows - 1, rows, storage);
        const int32_t row = first + rows - 1;
        ExpectSameRows(
            RunAbsorbed(*mla, c.shape, kv, last, latent.view().Rows(row, 1), q.view().Rows(row, 1)),
            got, row);
      }
    }
  }
}

TEST_F(CudaMlaBackend, PromptRowsMatchTheReferenceAndAreTheirOwn) {
  OnCudaDevice device;
  for (const Case& c : Cases()) {
    UpProjection projection(c.shape);
    for (DType dtype : kTypes) {
      PagedKv kv(CacheShape(c.shape), c.block_tokens, dtype, c.entries);
      kv.FillNormal(1);
      const auto mla = device.MakeMla(c.shape, dtype);
      HostMatrix q(dtype, kv.num_tokens(), c.shape.q_width());
      q.FillNormal(2);
      const HostMatrix got = RunPrefill(*mla, c.shape, kv, kv.batch(), q.view(), projection);
      const HostMatrix want =
          RunPrefill(*MakeReferenceMla(), c.shape, kv, kv.batch(), q.view(), projection);
      EXPECT_TRUE(Near(got, want, [&](int64_t r, int64_t col) {
        return MlaBound(CpuIsa::kAvx512Bf16, dtype, dtype, dtype, c.shape.head_dim(),
                        want.at(r, col));
      })) << DTypeName(dtype);
      for (int64_t e = 0; e < kv.num_entries(); ++e) {
        const int32_t first = kv.batch().query_start.data[e];
        const int32_t rows = kv.batch().query_start.data[e + 1] - first;
        if (rows < 2) continue;
        PagedKv::SliceStorage storage;
        const AttentionBatch tail = kv.Slice(e, rows / 2, rows, storage);
        const int32_t begin = first + rows / 2;
        ExpectSameRows(
            RunPrefill(*mla, c.shape, kv, tail, q.view().Rows(begin, rows - rows / 2), projection),
            got, begin);
      }
    }
  }
}

TEST_F(CudaMlaBackend, WritesMatchTheReference) {
  OnCudaDevice device;
  for (const Case& c : Cases()) {
    for (DType dtype : kTypes) {
      const auto mla = device.MakeMla(c.shape, dtype);
      LatentCase latent{.shape = c.shape, .act = dtype, .latent = dtype, .cache = dtype};
      latent.norm = !c.shape.rope_per_head;
      if (TestDeviceIsEmulated()) latent.entries = {{3, 20}};
      ExpectLatentsMatchReference(*mla, latent);
    }
  }
}

}  // namespace
}  // namespace quire::testing
