// The CUDA attention of encoders, emulated: against the reference, and its bits.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/cuda_gqa_harness.h"
#include "tests/attention/encode_cases.h"
#include "tests/attention/rule_set.h"

namespace quire {
namespace {

using ::quire::testing::EmulatedPrompts;
using ::quire::testing::EncodeCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::RuleSet;
using ::quire::testing::RunEncode;
using ::quire::testing::Starts;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};

// `gap`: how far apart rows are.
void ExpectReference(const EncodeCase& c, DType dtype, int64_t gap, uint32_t seed) {
  const std::vector<int32_t> starts = Starts(c.lengths);
  const RuleSet rules(c.rules, c.shape.num_heads, testing::KeysOf(c.lengths), 5);
  HostMatrix qkv(dtype, starts.back(), c.shape.qkv_width(), c.shape.qkv_width() + gap);
  qkv.FillNormal(1);
  EmulatedPrompts prompts({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
  const HostMatrix out = RunEncode(prompts, c.shape, qkv, starts, rules.rules());
  const HostMatrix want = RunEncode(*MakeReferenceAttention(), c.shape, qkv, starts, rules.rules());
  EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t col) {
    return testing::AttendedBound(testing::BoundOf(c.shape, dtype, dtype), c.shape.head_dim, dtype,
                                  dtype, want.at(r, col));
  })) << DTypeName(dtype);
}

bool IsSmall(const EncodeCase& c, DType dtype) {
  std::vector<testing::KvEntry> entries;
  for (int32_t length : c.lengths) entries.push_back({length, length});
  return testing::IsSmall(c.shape, entries, dtype);
}

class CudaEncodeCaseTest : public ::testing::TestWithParam<const EncodeCase*> {};

TEST_P(CudaEncodeCaseTest, MatchesTheReference) {
  for (DType dtype : kTypes) {
    if (IsSmall(*GetParam(), dtype)) ExpectReference(*GetParam(), dtype, 8, 0);
  }
}

// Of the cases that are too long for the emulation, shorter ones; a GPU runs all as they are.
const EncodeCase kShorterCases[] = {
    {"TileEdgesShort", {1, 1, 64, 64, 0}, {63, 65, 129}, {}},
    {"WindowOddShort", {4, 2, 64, 64, 7}, {70, 3}, {}},
    {"WindowOfHalfATile", {2, 1, 64, 64, 64}, {140}, {}},
    {"AlibiShort", {2, 2, 64, 64, 0}, {33, 70}, {.alibi = true}},
    {"BiasSharedShort", {2, 1, 64, 64, 0}, {33, 70}, {.bias = testing::BiasKind::kShared}},
    {"BiasPerHeadShort", {2, 1, 64, 64, 12}, {33, 130}, {.bias = testing::BiasKind::kPerHead}},
    {"SinksShort", {2, 1, 32, 32, 0}, {1, 33, 140}, {.sinks = true}},
    {"AllRulesShort", {4, 2, 64, 32, 31}, {33, 70, 1}, testing::kAllRules},
};

std::vector<const EncodeCase*> SmallCases() {
  std::vector<const EncodeCase*> cases = testing::PointersTo(testing::kEncodeCases);
  for (const EncodeCase& c : kShorterCases) cases.push_back(&c);
  std::erase_if(cases, [](const EncodeCase* c) { return !IsSmall(*c, DType::kBFloat16); });
  return cases;
}

TEST(CudaEncodeCases, NoShorterOneIsLeftOut) {
  for (const EncodeCase& c : kShorterCases) EXPECT_TRUE(IsSmall(c, DType::kBFloat16)) << c.name;
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaEncodeCaseTest, ::testing::ValuesIn(SmallCases()),
                         [](const ::testing::TestParamInfo<const EncodeCase*>& info) {
                           return std::string(info.param->name);
                         });

// Rows that begin where packs do not, and dims beyond those of the products.
TEST(CudaEncode, AnyRowStrideAndDims) {
  for (int64_t gap : {1, 6}) {
    for (DType dtype : kTypes) {
      ExpectReference({"", {2, 1, 34, 66, 9}, {70, 1}, {}}, dtype, gap, 1);
    }
  }
  ExpectReference({"", {2, 1, 128, 128, 0}, {20}, {}}, DType::kBFloat16, 0, 2);
  ExpectReference({"", {2, 1, 192, 256, 0}, {40}, {}}, DType::kBFloat16, 0, 2);
  ExpectReference({"", {2, 1, 258, 40, 0}, {5}, {}}, DType::kBFloat16, 0, 2);
}

// Law: alone, and among others at other places of the batch.
TEST(CudaEncode, NeitherTheBatchNorTheOrderOfThreadsMatters) {
  for (DType dtype : kTypes) {
    for (int window : {0, 20}) {
      const GqaShape shape{1, 1, 40, 40, window};
      const std::vector<int32_t> lengths = {5, 70, 1, 37};
      const std::vector<int32_t> starts = Starts(lengths);
      HostMatrix qkv(dtype, starts.back(), shape.qkv_width());
      qkv.FillNormal(1);
      EmulatedPrompts prompts, shuffled({.seed = 4, .resident_blocks = 3});
      const HostMatrix want = RunEncode(prompts, shape, qkv, starts);
      for (int64_t s = 0; s < static_cast<int64_t>(lengths.size()); ++s) {
        HostMatrix alone(dtype, lengths[s], shape.out_width());
        const int32_t start[] = {0, lengths[s]};
        shuffled.Encode({qkv.view().Rows(starts[s], lengths[s]), alone.view(), shape,
                         testing::ScaleOf(shape), ScoreRules()},
                        {start, 2});
        for (int32_t r = 0; r < lengths[s]; ++r) {
          ASSERT_TRUE(alone.SameRowBits(r, want, starts[s] + r))
              << "sequence " << s << " row " << r;
        }
      }
    }
  }
}

TEST(CudaEncode, WhatARowDoesNotSeeDoesNotMatter) {
  for (DType dtype : kTypes) {
    for (int window : {0, 12}) {
      const GqaShape shape{2, 1, 40, 40, window};
      const std::vector<int32_t> starts = {0, 9, 50, 60};
      HostMatrix qkv(dtype, 60, shape.qkv_width());
      qkv.FillNormal(1);
      EmulatedPrompts prompts;
      const HostMatrix want = RunEncode(prompts, shape, qkv, starts);
      for (int64_t col = 0; col < shape.qkv_width(); ++col) {
        qkv.set(31, col, col % 2 == 0 ? NAN : INFINITY);
      }
      const HostMatrix out = RunEncode(prompts, shape, qkv, starts);
      for (int64_t t = 0; t < 60; ++t) {
        const bool sees = t >= 9 && t < 50 && (window == 0 || std::abs(t - 31) <= window / 2);
        EXPECT_EQ(out.SameRowBits(t, want, t), !sees) << t;
      }
    }
  }
}

}  // namespace
}  // namespace quire
