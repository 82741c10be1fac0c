#include "core/rope_choice.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace quire {
namespace {

using Kind = RopeChoice::Kind;
using LengthRule = RequestRope::LengthRule;

TEST(RopeChoice, IsWrittenAsItIsAskedFor) {
  EXPECT_EQ(FormatRopeChoice({}), "model");
  EXPECT_EQ(FormatRopeChoice({.kind = Kind::kNone}), "none");
  EXPECT_EQ(FormatRopeChoice({.kind = Kind::kLinear, .factor = 2.5}), "linear:2.5");
  EXPECT_EQ(FormatRopeChoice({.kind = Kind::kYarn, .factor = 4, .original_positions = 32768}),
            "yarn:4:32768");
}

TEST(RopeChoice, CacheKeysOfDifferentRotationsDiffer) {
  std::set<std::string> keys;
  for (const Kind kind : {Kind::kModel, Kind::kLinear, Kind::kNtk}) {
    for (const double factor : {1.0, 4.0, 4.0000000000001}) {
      for (const int64_t original : {0, 100}) {
        for (const int64_t length : {0, 1, 100}) {
          const RopeChoice choice{.kind = kind, .factor = factor, .original_positions = original};
          const SequenceRope rope{.choice = choice, .length = length};
          EXPECT_TRUE(keys.insert(RopeCacheKey(rope)).second);
          EXPECT_EQ(RopeCacheKey(rope), RopeCacheKey(SequenceRope(rope)));
        }
      }
    }
  }
}

TEST(RequestRope, TheLengthRuleGivesTheFrequenciesThatASequenceBeginsWith) {
  const auto start = [](LengthRule rule, int64_t prompt) {
    return RequestRope{.rule = rule, .original_positions = 100}.Start(prompt).length;
  };
  EXPECT_EQ(start(LengthRule::kNone, 5000), 0);
  EXPECT_EQ(start(LengthRule::kPrompt, 100), 0);
  EXPECT_EQ(start(LengthRule::kPrompt, 101), 101);
  EXPECT_EQ(start(LengthRule::kSwitch, 100), 0);
  // All long sequences have the same.
  EXPECT_EQ(start(LengthRule::kSwitch, 101), 101);
  EXPECT_EQ(start(LengthRule::kSwitch, 5000), 101);
}

}  // namespace
}  // namespace quire
