#include "ops/cuda/measured_algorithms.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

// A row as source, and its text.
#define QUIRE_TEST_TEXT_(...) #__VA_ARGS__
#define QUIRE_TEST_TEXT(...) QUIRE_TEST_TEXT_(__VA_ARGS__)
#define QUIRE_TEST_ROW                                                                           \
  {                                                                                              \
    9, 0, 132, DType::kBFloat16, DType::kFloat32, 4096, 14336, { 66, 393, 36, 1, 0, 1, 5, 7, 2 } \
  }

std::string WithoutSpaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

TEST(MeasuredAlgorithms, WhatTheToolPrintsIsTheRowAsSource) {
  const MeasuredAlgorithm row = QUIRE_TEST_ROW;
  EXPECT_EQ(WithoutSpaces(SourceText(row)), WithoutSpaces(QUIRE_TEST_TEXT(QUIRE_TEST_ROW)) + ",");
  EXPECT_EQ(row.config.cluster_shape, 2);
  EXPECT_EQ(row.config.inner_shape, 7);
  EXPECT_EQ(row.config.stages, 36);
}

TEST(MeasuredAlgorithms, TheTableIsSound) { EXPECT_TRUE(CheckTable(MeasuredAlgorithms()).ok()); }

TEST(MeasuredAlgorithms, ARowThatSplitsKOrHidesBehindAnotherIsRefused) {
  MeasuredAlgorithm row = QUIRE_TEST_ROW;
  MeasuredAlgorithm other = row;
  other.out = DType::kBFloat16;
  EXPECT_TRUE(CheckTable({row, other}).ok());
  other.out = row.out;
  other.config.tile = 1;
  EXPECT_THAT(CheckTable({row, other}).message(), HasSubstr("row 1 "));
  row.config.splits = 2;
  EXPECT_THAT(CheckTable({row}).message(), HasSubstr("splits K"));
  row.config.splits = 1;
  row.config.reduction = 1;
  EXPECT_THAT(CheckTable({row}).message(), HasSubstr("splits K"));
}

TEST(MeasuredAlgorithms, AnAlgorithmIsFoundByGpuTypesAndShape) {
  const MeasuredAlgorithm row = QUIRE_TEST_ROW;
  const GpuIdentity gpu{.name = "any", .major = 9, .minor = 0, .multiprocessors = 132};
  const ProductKind kind{
      .act = DType::kBFloat16, .out = DType::kFloat32, .n = 4096, .k = 14336, .has_bias = true};
  EXPECT_EQ(FindMeasured({row}, gpu, kind), row.config);
  const auto expect_none = [&](auto&& change) {
    GpuIdentity other_gpu = gpu;
    ProductKind other = kind;
    change(other_gpu, other);
    EXPECT_EQ(FindMeasured({row}, other_gpu, other), std::nullopt);
  };
  expect_none([](GpuIdentity& g, ProductKind&) { g.major = 10; });
  expect_none([](GpuIdentity& g, ProductKind&) { g.minor = 1; });
  expect_none([](GpuIdentity& g, ProductKind&) { g.multiprocessors = 114; });
  expect_none([](GpuIdentity&, ProductKind& p) { p.act = DType::kFloat32; });
  expect_none([](GpuIdentity&, ProductKind& p) { p.out = DType::kBFloat16; });
  expect_none([](GpuIdentity&, ProductKind& p) { p.n = 4095; });
  expect_none([](GpuIdentity&, ProductKind& p) { p.k = 1; });
}

}  // namespace
}  // namespace quire
