// Values of their own width, score rules and prefixes against the reference, on every instruction
// set, over a cache whose unseen memory is NaN and whose unseen block ids are wild.
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::BiasKind;
using ::quire::testing::CpuBackend;
using ::quire::testing::GqaExtras;
using ::quire::testing::HostMatrix;
using ::quire::testing::KvEntry;
using ::quire::testing::MatchesReference;
using ::quire::testing::PagedKv;
using ::quire::testing::PrefixSpec;
using ::quire::testing::RuleSet;
using ::quire::testing::RuleSpec;
using ::quire::testing::RunGqa;
using ::quire::testing::RunGqaSlice;

struct RulesCase {
  const char* name;
  GqaShape shape;  // H, Hkv, D, Dv, window
  int block_tokens;
  std::vector<KvEntry> entries;  // query tokens, kv tokens
  RuleSpec rules;
  PrefixSpec prefix;
  bool q2 = false;
};

constexpr RuleSpec kCap{.softcap = 1.5F};
constexpr RuleSpec kAlibi{.alibi = true};
constexpr RuleSpec kSharedBias{.bias = BiasKind::kShared};
constexpr RuleSpec kHeadBias{.bias = BiasKind::kPerHead};
constexpr RuleSpec kSinks{.sinks = true};
constexpr RuleSpec kAll{2.0F, true, BiasKind::kPerHead, true};
constexpr RuleSpec kAllButBias{2.0F, true, BiasKind::kNone, true};

const RulesCase kCases[] = {
    {"ValuesNarrower", {4, 2, 64, 32, 0}, 16, {{1, 33}, {20, 70}}, {}, {}},
    {"ValuesWider", {4, 2, 32, 96, 0}, 32, {{1, 33}, {20, 70}}, {}, {}},
    {"ValuesOfTwo", {4, 2, 40, 2, 0}, 16, {{3, 33}}, {}, {}},
    {"ValuesOdd34", {3, 1, 80, 34, 9}, 16, {{13, 63}}, {}, {}},
    {"LatentPrefill", {3, 3, 192, 128, 0}, 64, {{7, 140}, {1, 600}}, {}, {}},
    {"WidestOfAll", {4, 1, 576, 512, 0}, 64, {{3, 140}}, {}, {}},
    {"CapOneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}, kCap, {}},
    {"Cap", {8, 2, 64, 64, 0}, 16, {{1, 33}, {40, 140}, {1, 700}}, kCap, {}},
    {"CapInAWindow", {4, 2, 256, 256, 30}, 64, {{1, 101}, {5, 131}}, kCap, {}},
    {"AlibiDecode", {8, 8, 64, 64, 0}, 16, {{1, 1}, {1, 129}, {1, 1400}}, kAlibi, {}},
    {"AlibiPrefill", {16, 1, 80, 80, 0}, 32, {{33, 90}}, kAlibi, {}},
    {"AlibiInAWindow", {4, 2, 64, 64, 30}, 64, {{20, 101}}, kAlibi, {}},
    {"BiasOneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}, kSharedBias, {}},
    {"BiasShared", {4, 2, 64, 64, 0}, 16, {{20, 33}, {7, 140}}, kSharedBias, {}},
    {"BiasPerHead", {4, 2, 64, 64, 0}, 16, {{20, 33}, {7, 140}, {2, 600}}, kHeadBias, {}},
    {"BiasInAWindow", {4, 2, 64, 64, 5}, 16, {{20, 40}}, kHeadBias, {}},
    {"SinksOneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}, kSinks, {}},
    {"SinksOverSplits", {4, 2, 64, 64, 0}, 16, {{1, 512}, {1, 513}, {3, 1100}}, kSinks, {}},
    {"SinksInAWindow", {8, 1, 64, 64, 16}, 16, {{1, 48}, {17, 49}}, kSinks, {}},
    {"SinksWiderThanAnItem", {71, 1, 64, 64, 0}, 16, {{3, 20}}, kSinks, {}},
    {"AllRules", {8, 2, 96, 64, 0}, 32, {{30, 130}, {1, 5}, {1, 700}}, kAll, {}},
    {"AllRulesInAWindow", {8, 2, 96, 64, 50}, 32, {{30, 130}, {1, 5}, {1, 700}}, kAll, {}},
    {"KeepFourWindowEight", {4, 2, 64, 64, 8}, 16, {{1, 40}, {30, 40}}, {}, {4, false}, true},
    {"KeepBeforeItMatters", {4, 2, 64, 64, 8}, 16, {{11, 11}, {2, 3}}, {}, {4, false}, true},
    {"KeepLongerThanTheSequence", {4, 2, 64, 64, 8}, 16, {{3, 3}, {1, 4}}, {}, {20, false}, true},
    {"KeepAPage",
     {4, 2, 64, 64, 20},
     16,
     {{1, 16}, {1, 17}, {1, 36}, {9, 90}},
     {},
     {16, false},
     true},
    {"KeepTwoPagesAndOne", {4, 2, 64, 64, 600}, 16, {{1, 1500}, {40, 1530}}, {}, {33, false}, true},
    {"KeepWithoutSecondQueries", {4, 2, 64, 64, 20}, 16, {{9, 90}}, {}, {5, false}, false},
    {"KeepWithRules", {8, 2, 64, 40, 20}, 16, {{9, 90}, {1, 300}}, kAllButBias, {5, false}, true},
    {"KeepMoreThanATile", {2, 1, 64, 64, 30}, 64, {{5, 400}, {1, 140}}, {}, {131, false}, true},
    {"LearnedOne", {4, 2, 64, 64, 0}, 16, {{1, 1}, {7, 40}}, {}, {1, true}},
    {"LearnedSeveral", {4, 2, 64, 64, 0}, 32, {{1, 600}, {7, 40}, {0, 0}}, {}, {17, true}},
    {"LearnedBehindAWindow", {8, 1, 64, 96, 9}, 16, {{1, 60}, {17, 40}}, {}, {33, true}},
    {"LearnedWithRules", {8, 2, 64, 64, 0}, 16, {{9, 90}, {1, 1200}}, kAllButBias, {4, true}},
};

// What the rows of `kv` may see, in keys.
std::vector<int32_t> KeysOf(const PagedKv& kv) {
  std::vector<int32_t> keys;
  for (int64_t t = 0; t < kv.num_tokens(); ++t) keys.push_back(kv.batch().positions.data[t] + 1);
  return keys;
}

class CpuGqaRulesTest : public ::testing::TestWithParam<std::tuple<CpuIsa, const RulesCase*>> {
 protected:
  CpuIsa isa() const { return std::get<0>(GetParam()); }
  const RulesCase& rules_case() const { return *std::get<1>(GetParam()); }
  static CpuAttentionLimits Limits() { return {.max_head_dim = 576, .max_value_dim = 512}; }
};

TEST_P(CpuGqaRulesTest, MatchesTheReference) {
  const RulesCase& c = rules_case();
  CpuBackend backend(isa(), 2, Limits());
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (bool drop_old_pages : {true, false}) {
      PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, drop_old_pages, c.prefix);
      kv.FillNormal(8);
      const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
      HostMatrix q2(dtype, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
      q2.FillNormal(6);
      const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
      EXPECT_TRUE(MatchesReference(isa(), backend, kv, dtype, 9, extras)) << DTypeName(dtype);
      if (c.shape.window == 0) break;
    }
  }
}

TEST_P(CpuGqaRulesTest, NeitherChunksNorBatchNorThreadsMatter) {
  const RulesCase& c = rules_case();
  CpuBackend one(isa(), 1, Limits());
  CpuBackend backend(isa(), 8, Limits());
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, false, c.prefix);
    kv.FillNormal(8);
    const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
    HostMatrix q2(dtype, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
    q2.FillNormal(6);
    const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
    HostMatrix qkv(dtype, kv.num_tokens(), c.shape.qkv_width());
    qkv.FillNormal(2);
    const HostMatrix whole = RunGqa(one.attention(), kv, qkv, extras);
    EXPECT_TRUE(RunGqa(backend.attention(), kv, qkv, extras).SameBits(whole));
    for (int64_t e = 0; e < kv.num_entries(); ++e) {
      const int32_t first = kv.batch().query_start.data[e];
      const int32_t rows = kv.batch().query_start.data[e + 1] - first;
      for (int32_t begin = 0; begin < rows;) {
        const int32_t end = std::min(rows, begin + 1 + begin % 5);
        const HostMatrix chunk = RunGqaSlice(backend.attention(), kv, qkv, e, begin, end, extras);
        for (int32_t r = begin; r < end; ++r) {
          ASSERT_TRUE(chunk.SameRowBits(r - begin, whole, first + r))
              << DTypeName(dtype) << " entry " << e << " row " << r;
        }
        begin = end;
      }
    }
  }
}

std::vector<const RulesCase*> AllCases() {
  std::vector<const RulesCase*> cases;
  for (const RulesCase& c : kCases) cases.push_back(&c);
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaRulesTest,
                         ::testing::Combine(testing::AllIsas(), ::testing::ValuesIn(AllCases())),
                         [](const ::testing::TestParamInfo<CpuGqaRulesTest::ParamType>& info) {
                           return std::string(CpuIsaName(std::get<0>(info.param))) + "_" +
                                  std::get<1>(info.param)->name;
                         });

class CpuGqaPrefixTest : public ::testing::TestWithParam<CpuIsa> {};

// With one query for both, keeping nothing out of the window is plain attention.
TEST_P(CpuGqaPrefixTest, RowsThatStillSeeEverythingHavePlainAttention) {
  CpuBackend backend(GetParam());
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    const GqaShape windowed{4, 2, 64, 64, 40};
    const GqaShape plain{4, 2, 64, 64, 0};
    PagedKv kv(windowed, 16, dtype, {{44, 44}}, 1, false, {4, false});
    PagedKv plain_kv(plain, 16, dtype, {{44, 44}}, 1, false);
    kv.FillNormal(3);
    plain_kv.FillNormal(3);
    HostMatrix qkv(dtype, 44, plain.qkv_width());
    qkv.FillNormal(1);
    const HostMatrix out = RunGqa(backend.attention(), kv, qkv);
    const HostMatrix want = RunGqa(*MakeReferenceAttention(), plain_kv, qkv);
    EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t c) {
      return testing::GqaBound(GetParam(), kv, dtype, want.at(r, c));
    }));
  }
}

TEST_P(CpuGqaPrefixTest, APrefixWithoutItsPagesIsABug) {
  CpuBackend backend(GetParam());
  PagedKv kv({4, 2, 64, 64, 8}, 16, DType::kBFloat16, {{1, 40}}, 1, true, {20, false});
  HostMatrix qkv(DType::kBFloat16, 1, kv.shape().qkv_width());
  HostMatrix out(DType::kBFloat16, 1, kv.shape().out_width());
  GqaParams params{qkv.view(), out.view(), kv.shape(), 0.1F, kv.view(), {}, kv.prefix()};
  AttentionBatch batch = kv.batch();
  const int32_t prefix_start[] = {0, 1};
  batch.prefix_start.data = prefix_start;
  EXPECT_DEATH(backend.attention().Gqa(params, batch), "\\(1 vs. 2\\).*entry 0");
  params.prefix.shared = true;
  EXPECT_DEATH(backend.attention().Gqa(params, batch), "\\(0 vs. 20\\)");
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaPrefixTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
