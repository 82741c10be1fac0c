// Named cases of attention over a paged cache: the edges of pages, tiles, splits and windows, and
// the rules of scores. Every backend is held against them.
#ifndef QUIRE_TESTS_ATTENTION_GQA_CASES_H_
#define QUIRE_TESTS_ATTENTION_GQA_CASES_H_

#include <cstdint>
#include <vector>

#include "attention/attention.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/paged_kv.h"

namespace quire::testing {

struct GqaCase {
  const char* name;
  GqaShape shape;  // H, Hkv, D, Dv, window
  int block_tokens;
  std::vector<KvEntry> entries;  // query tokens, kv tokens
};

inline const GqaCase kGqaCases[] = {
    {"OneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}},
    {"TwoTokens", {4, 2, 64, 64, 0}, 16, {{1, 2}}},
    {"PageEdgeMinusOne", {4, 2, 64, 64, 0}, 16, {{1, 15}}},
    {"PageEdge", {4, 2, 64, 64, 0}, 16, {{1, 16}}},
    {"PageEdgePlusOne", {4, 2, 64, 64, 0}, 16, {{1, 17}}},
    {"TileEdgeMinusOne", {4, 2, 64, 64, 0}, 32, {{1, 63}}},
    {"TileEdge", {4, 2, 64, 64, 0}, 32, {{1, 64}}},
    {"TileEdgePlusOne", {4, 2, 64, 64, 0}, 32, {{1, 65}}},
    {"SplitEdgeMinusOne", {2, 1, 64, 64, 0}, 64, {{1, 511}}},
    {"SplitEdge", {2, 1, 64, 64, 0}, 64, {{1, 512}}},
    {"SplitEdgePlusOne", {2, 1, 64, 64, 0}, 64, {{1, 513}}},
    {"SeveralSplits", {2, 1, 64, 64, 0}, 16, {{1, 1700}}},
    {"SeveralSplitsOfAChunk", {2, 1, 64, 64, 0}, 64, {{9, 1100}}},
    {"GroupOfOne", {3, 3, 64, 64, 0}, 16, {{5, 40}}},
    {"GroupOfThree", {6, 2, 64, 64, 0}, 16, {{7, 40}}},
    {"GroupOfFour", {8, 2, 64, 64, 0}, 16, {{5, 40}}},
    {"GroupOfEight", {8, 1, 64, 64, 0}, 32, {{5, 40}}},
    {"GroupOfSixteen", {16, 1, 64, 64, 0}, 32, {{5, 40}}},
    {"GroupWiderThanAnItem", {71, 1, 64, 64, 0}, 16, {{3, 20}}},
    {"Dim40", {4, 2, 40, 40, 0}, 16, {{5, 70}}},
    {"Dim48", {4, 2, 48, 48, 0}, 16, {{5, 70}}},
    {"Dim80", {4, 2, 80, 80, 0}, 16, {{5, 70}}},
    {"Dim96", {4, 2, 96, 96, 0}, 32, {{5, 70}}},
    {"Dim128", {4, 2, 128, 128, 0}, 64, {{5, 130}}},
    {"Dim192", {4, 2, 192, 192, 0}, 16, {{5, 70}}},
    {"Dim256", {4, 2, 256, 256, 0}, 64, {{5, 70}}},
    {"Dim2", {2, 1, 2, 2, 0}, 16, {{3, 33}}},
    {"Dim34", {2, 1, 34, 34, 0}, 16, {{3, 33}}},
    {"WholePrompt", {4, 2, 64, 64, 0}, 16, {{100, 100}}},
    {"ChunkInTheMiddle", {4, 2, 64, 64, 0}, 16, {{33, 90}}},
    {"ChunkThatEndsOnAPage", {4, 2, 64, 64, 0}, 32, {{31, 96}}},
    {"WindowOfOne", {4, 2, 64, 64, 1}, 16, {{1, 40}, {20, 40}}},
    {"WindowInsideAPage", {4, 2, 64, 64, 5}, 16, {{1, 40}, {20, 40}}},
    {"WindowEdgeOnAPage", {4, 2, 64, 64, 16}, 16, {{1, 48}, {17, 49}}},
    {"WindowOddStart", {4, 2, 64, 64, 30}, 64, {{1, 101}, {1, 100}, {2, 131}}},
    {"WindowOverSplits", {2, 1, 64, 64, 600}, 64, {{1, 1500}, {40, 1530}}},
    {"WindowLongerThanTheSequence", {4, 2, 64, 64, 1000}, 16, {{7, 40}}},
    {"MixedBatch", {4, 2, 64, 64, 0}, 16, {{1, 33}, {40, 40}, {1, 1}, {5, 600}, {1, 700}}},
    {"EntryWithoutRows", {4, 2, 64, 64, 0}, 16, {{1, 33}, {0, 20}, {2, 9}, {0, 0}}},
    {"ManyDecodes", {4, 2, 64, 64, 0}, 32, std::vector<KvEntry>(40, {1, 70})},
};

struct GqaRulesCase {
  const char* name;
  GqaShape shape;  // H, Hkv, D, Dv, window
  int block_tokens;
  std::vector<KvEntry> entries;  // query tokens, kv tokens
  RuleSpec rules;
  PrefixSpec prefix;
  bool q2 = false;
};

inline constexpr RuleSpec kCapRules{.softcap = 1.5F};
inline constexpr RuleSpec kAlibiRules{.alibi = true};
inline constexpr RuleSpec kSharedBiasRules{.bias = BiasKind::kShared};
inline constexpr RuleSpec kHeadBiasRules{.bias = BiasKind::kPerHead};
inline constexpr RuleSpec kSinkRules{.sinks = true};
inline constexpr RuleSpec kAllRules{2.0F, true, BiasKind::kPerHead, true};
inline constexpr RuleSpec kAllRulesButBias{2.0F, true, BiasKind::kNone, true};

inline const GqaRulesCase kGqaRulesCases[] = {
    {"ValuesNarrower", {4, 2, 64, 32, 0}, 16, {{1, 33}, {20, 70}}, {}, {}},
    {"ValuesWider", {4, 2, 32, 96, 0}, 32, {{1, 33}, {20, 70}}, {}, {}},
    {"ValuesOfTwo", {4, 2, 40, 2, 0}, 16, {{3, 33}}, {}, {}},
    {"ValuesOdd34", {3, 1, 80, 34, 9}, 16, {{13, 63}}, {}, {}},
    {"LatentPrefill", {3, 3, 192, 128, 0}, 64, {{7, 140}, {1, 600}}, {}, {}},
    {"WidestOfAll", {4, 1, 576, 512, 0}, 64, {{3, 140}}, {}, {}},
    {"CapOneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}, kCapRules, {}},
    {"Cap", {8, 2, 64, 64, 0}, 16, {{1, 33}, {40, 140}, {1, 700}}, kCapRules, {}},
    {"CapInAWindow", {4, 2, 256, 256, 30}, 64, {{1, 101}, {5, 131}}, kCapRules, {}},
    {"AlibiDecode", {8, 8, 64, 64, 0}, 16, {{1, 1}, {1, 129}, {1, 1400}}, kAlibiRules, {}},
    {"AlibiPrefill", {16, 1, 80, 80, 0}, 32, {{33, 90}}, kAlibiRules, {}},
    {"AlibiInAWindow", {4, 2, 64, 64, 30}, 64, {{20, 101}}, kAlibiRules, {}},
    {"BiasOneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}, kSharedBiasRules, {}},
    {"BiasShared", {4, 2, 64, 64, 0}, 16, {{20, 33}, {7, 140}}, kSharedBiasRules, {}},
    {"BiasPerHead", {4, 2, 64, 64, 0}, 16, {{20, 33}, {7, 140}, {2, 600}}, kHeadBiasRules, {}},
    {"BiasInAWindow", {4, 2, 64, 64, 5}, 16, {{20, 40}}, kHeadBiasRules, {}},
    {"SinksOneToken", {4, 2, 64, 64, 0}, 16, {{1, 1}}, kSinkRules, {}},
    {"SinksOverSplits", {4, 2, 64, 64, 0}, 16, {{1, 512}, {1, 513}, {3, 1100}}, kSinkRules, {}},
    {"SinksInAWindow", {8, 1, 64, 64, 16}, 16, {{1, 48}, {17, 49}}, kSinkRules, {}},
    {"SinksWiderThanAnItem", {71, 1, 64, 64, 0}, 16, {{3, 20}}, kSinkRules, {}},
    {"AllRules", {8, 2, 96, 64, 0}, 32, {{30, 130}, {1, 5}, {1, 700}}, kAllRules, {}},
    {"AllRulesInAWindow", {8, 2, 96, 64, 50}, 32, {{30, 130}, {1, 5}, {1, 700}}, kAllRules, {}},
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
    {"KeepWithRules",
     {8, 2, 64, 40, 20},
     16,
     {{9, 90}, {1, 300}},
     kAllRulesButBias,
     {5, false},
     true},
    {"KeepMoreThanATile", {2, 1, 64, 64, 30}, 64, {{5, 400}, {1, 140}}, {}, {131, false}, true},
    {"LearnedOne", {4, 2, 64, 64, 0}, 16, {{1, 1}, {7, 40}}, {}, {1, true}},
    {"LearnedSeveral", {4, 2, 64, 64, 0}, 32, {{1, 600}, {7, 40}, {0, 0}}, {}, {17, true}},
    {"LearnedBehindAWindow", {8, 1, 64, 96, 9}, 16, {{1, 60}, {17, 40}}, {}, {33, true}},
    {"LearnedWithRules", {8, 2, 64, 64, 0}, 16, {{9, 90}, {1, 1200}}, kAllRulesButBias, {4, true}},
};

template <typename Case, size_t kCount>
std::vector<const Case*> PointersTo(const Case (&cases)[kCount]) {
  std::vector<const Case*> pointers;
  for (const Case& c : cases) pointers.push_back(&c);
  return pointers;
}
inline std::vector<const GqaCase*> GqaCases() { return PointersTo(kGqaCases); }
inline std::vector<const GqaRulesCase*> GqaRulesCases() { return PointersTo(kGqaRulesCases); }

// What the rows of `kv` may see, in keys.
inline std::vector<int32_t> KeysOf(const PagedKv& kv) {
  std::vector<int32_t> keys;
  for (int64_t t = 0; t < kv.num_tokens(); ++t) keys.push_back(kv.batch().positions.data[t] + 1);
  return keys;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_GQA_CASES_H_
