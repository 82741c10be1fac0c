// Named cases of attention among the rows of whole sequences. Every backend is held against them.
#ifndef QUIRE_TESTS_ATTENTION_ENCODE_CASES_H_
#define QUIRE_TESTS_ATTENTION_ENCODE_CASES_H_

#include <cstdint>
#include <vector>

#include "attention/attention.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/matrix.h"

namespace quire::testing {

struct EncodeCase {
  const char* name;
  GqaShape shape;  // H, Hkv, D, Dv, window
  std::vector<int32_t> lengths;
  RuleSpec rules;
};

inline const EncodeCase kEncodeCases[] = {
    {"OneToken", {4, 2, 64, 64, 0}, {1}, {}},
    {"TwoTokens", {4, 2, 64, 64, 0}, {2}, {}},
    {"OddLengths", {4, 4, 64, 64, 0}, {3, 1, 17, 5}, {}},
    {"EmptySequences", {4, 4, 64, 64, 0}, {0, 3, 0, 0, 9, 0}, {}},
    {"PageEdges", {4, 2, 64, 64, 0}, {63, 64, 65}, {}},
    {"TileEdges", {2, 1, 64, 64, 0}, {127, 128, 129}, {}},
    {"SplitEdges", {2, 1, 32, 32, 0}, {511, 512, 513}, {}},
    {"Groups", {16, 1, 64, 64, 0}, {40, 7}, {}},
    {"Dim80", {3, 3, 80, 80, 0}, {70}, {}},
    {"Dim96Values34", {6, 2, 96, 34, 0}, {70, 3}, {}},
    {"WindowOfOne", {4, 2, 64, 64, 1}, {20, 1}, {}},
    {"WindowOfTwo", {4, 2, 64, 64, 2}, {20, 1}, {}},
    {"WindowOdd", {4, 2, 64, 64, 7}, {150, 3}, {}},
    {"WindowOfATile", {4, 2, 64, 64, 128}, {300}, {}},
    {"WindowOverSplits", {2, 1, 32, 32, 900}, {1100}, {}},
    {"WindowLongerThanTheSequence", {4, 2, 64, 64, 1000}, {33}, {}},
    {"Softcap", {4, 2, 64, 64, 0}, {33, 70}, {.softcap = 1.5F}},
    {"Alibi", {8, 8, 64, 64, 0}, {33, 130}, {.alibi = true}},
    {"BiasShared", {4, 2, 64, 64, 0}, {33, 130}, {.bias = BiasKind::kShared}},
    {"BiasPerHead", {4, 2, 64, 64, 12}, {33, 130}, {.bias = BiasKind::kPerHead}},
    {"Sinks", {2, 1, 32, 32, 0}, {1, 33, 600}, {.sinks = true}},
    {"AllRules", {4, 2, 64, 32, 31}, {33, 600, 1}, kAllRules},
};

// What the rows of a batch see, in keys.
inline std::vector<int32_t> KeysOf(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> keys;
  for (int32_t length : lengths) keys.insert(keys.end(), length, length);
  return keys;
}

inline std::vector<int32_t> Starts(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> starts = {0};
  for (int32_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

inline HostMatrix RunEncode(Attention& attention, const GqaShape& shape, const HostMatrix& qkv,
                            const std::vector<int32_t>& starts, const ScoreRules& rules = {}) {
  HostMatrix out(qkv.view().dtype, qkv.view().rows, shape.out_width(), shape.out_width() + 3);
  attention.Encode({qkv.view(), out.view(), shape, ScaleOf(shape), rules},
                   {starts.data(), static_cast<int64_t>(starts.size())});
  return out;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_ENCODE_CASES_H_
