#include "model/rope_tables.h"

#include <vector>

#include "core/allocation_bytes.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "tests/testing/allocations.h"

namespace quire {
namespace {

using Kind = RopeChoice::Kind;
using LengthRule = RequestRope::LengthRule;

constexpr RopeChoice kLinear{.kind = Kind::kLinear, .factor = 4};

class RopeTablesTest : public ::testing::Test {
 protected:
  ModelRopes ropes() const { return {.own = own_, .max_positions = 40}; }
  std::unique_ptr<RopeTables> Make(const RopeRowLayout& layout) {
    auto made = RopeTables::Create(ropes(), layout, memory_);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  // The row is that of `position` of a sequence with the config and length.
  static void ExpectRow(const RopeTable& table, int64_t row, const RopeConfig& config,
                        int64_t length, int64_t position) {
    const std::vector<double> frequencies = InverseFrequencies(config, length);
    const size_t half = frequencies.size();
    std::vector<float> cos(half);
    std::vector<float> sin(half);
    FillRopeRow(frequencies, config.attention_factor, position, cos.data(), sin.data());
    ASSERT_LT(row, table.num_rows);
    for (size_t i = 0; i < half; ++i) {
      ASSERT_EQ(table.cos[row * half + i], cos[i]) << row << " " << i;
      ASSERT_EQ(table.sin[row * half + i], sin[i]) << row << " " << i;
    }
  }

  ThreadPool pool_{1};
  HostMemory memory_{pool_};
  // Two kinds of layers of different widths, and one that does not rotate.
  std::vector<RopeConfig> own_ = {{.theta = 1e6,
                                   .rotary_dim = 8,
                                   .scaling = RopeScaling::kLongRope,
                                   .original_max_positions = 30,
                                   .attention_factor = 1.2,
                                   .short_factor = {1, 1, 2, 2},
                                   .long_factor = {1, 2, 4, 8}},
                                  {.rotary_dim = 16, .takes_scaling = false},
                                  {}};
};

TEST_F(RopeTablesTest, RowsOfShortAndLongSequencesAreThereFromTheStart) {
  const RequestRope rope = *RopeOfRequests(ropes(), {});
  const RopeRowLayout layout = LayOutRopeRows(rope, /*max_positions=*/100, /*step_rows=*/7);
  EXPECT_EQ(layout.base_rows, 30);
  EXPECT_EQ(layout.long_rows, 100);
  EXPECT_EQ(layout.num_rows(), 137);
  EXPECT_EQ(RopeTables::Bytes(ropes(), layout),
            AllocationBytes(137 * 8 * sizeof(float)) + AllocationBytes(137 * 16 * sizeof(float)));
  const auto tables = Make(layout);
  for (int64_t position = 0; position < 100; ++position) {
    for (int kind : {0, 1}) {
      if (position < 30) ExpectRow(tables->view(kind), position, own_[kind], 30, position);
      ExpectRow(tables->view(kind), 30 + position, own_[kind], 31, position);
    }
  }
  EXPECT_EQ(tables->view(2).rotary_dim, 0);
  EXPECT_EQ(layout.FirstRow(rope.Start(30), 30), 0);
  EXPECT_EQ(layout.FirstRow(rope.Start(31), 100), 30);
  EXPECT_EQ(layout.FirstRow({.choice = kLinear}, 1), -1);
}

TEST_F(RopeTablesTest, ContextsThatNeverCrossTakeNoLongRows) {
  const RopeRowLayout layout = LayOutRopeRows(*RopeOfRequests(ropes(), {}), 30, 7);
  EXPECT_EQ(layout.base_rows, 30);
  EXPECT_EQ(layout.long_rows, 0);
}

TEST_F(RopeTablesTest, StepRowsAreWhatTheirSpansSay) {
  const RopeRowLayout layout = LayOutRopeRows({.choice = {.kind = Kind::kNone}}, 20, 200);
  const auto tables = Make(layout);
  const RopeChoice dynamic{.kind = Kind::kDynamicNtk, .factor = 2};
  const std::vector<RopeSpan> spans = {
      {.first_row = 20, .count = 100, .first_position = 1000, .rope = {.choice = kLinear}},
      {.first_row = 120, .count = 1, .first_position = 70, .rope = {.choice = {}, .length = 31}},
      {.first_row = 121,
       .count = 3,
       .first_position = 0,
       .rope = {.choice = dynamic, .length = 90}},
  };
  for (int repeat = 0; repeat < 2; ++repeat) {
    tables->ComputeStepRows(spans);
    for (const RopeSpan& span : spans) {
      for (int kind : {0, 1}) {
        const RopeConfig config = ScaledRope(own_[kind], 40, span.rope.choice);
        for (int64_t i = 0; i < span.count; ++i) {
          ExpectRow(tables->view(kind), span.first_row + i, config, span.rope.length,
                    span.first_position + i);
        }
      }
    }
  }
  // The rows before stay what they were.
  const RopeConfig none = ScaledRope(own_[0], 40, {.kind = Kind::kNone});
  for (int64_t position = 0; position < 20; ++position) {
    ExpectRow(tables->view(0), position, none, 0, position);
  }
}

// More rotations than are kept in mind, in turn, and none of them again with another's rows.
TEST_F(RopeTablesTest, ManyRotationsInTurnAllocateNothing) {
  const auto tables = Make(LayOutRopeRows({}, 10, 1));
  const RopeChoice dynamic{.kind = Kind::kDynamicNtk, .factor = 2};
  const RopeConfig config = ScaledRope(own_[0], 40, dynamic);
  const int64_t before = testing::Allocations();
  for (int64_t length = 41; length < 300; ++length) {
    tables->ComputeStepRows({{.first_row = 10,
                              .count = 1,
                              .first_position = 33,
                              .rope = {.choice = dynamic, .length = length}}});
  }
  if (testing::CountsAllocations()) {
    EXPECT_EQ(testing::Allocations() - before, 0);
  }
  ExpectRow(tables->view(0), 10, config, 299, 33);
  tables->ComputeStepRows({{.first_row = 10,
                            .count = 1,
                            .first_position = 33,
                            .rope = {.choice = dynamic, .length = 41}}});
  ExpectRow(tables->view(0), 10, config, 41, 33);
}

}  // namespace
}  // namespace quire
