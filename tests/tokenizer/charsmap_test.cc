#include "tokenizer/charsmap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "tests/tokenizer/test_util.h"
#include "tokenizer/json.h"

namespace quire {
namespace {

void AppendUint32(uint32_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

std::string Blob(const std::vector<uint32_t>& units, absl::string_view texts) {
  std::string out;
  AppendUint32(static_cast<uint32_t>(4 * units.size()), &out);
  for (const uint32_t unit : units) AppendUint32(unit, &out);
  out.append(texts.data(), texts.size());
  return out;
}

constexpr uint32_t kLeaf = 1 << 8;
uint32_t Unit(uint32_t from, uint32_t to, char label, uint32_t leaf = 0) {
  return (from ^ to) << 10 | leaf | static_cast<unsigned char>(label);
}

// A double array with the states at 256, 512, ...: "a" becomes "x", "ab" "y", "cd" nothing.
std::vector<uint32_t> Units() {
  std::vector<uint32_t> units(1280, 0x80000000);  // a value: the label of no byte
  units[0] = 256 << 10;
  units[256 ^ 'a'] = Unit(256 ^ 'a', 512, 'a', kLeaf);
  units[512] = 0x80000000 | 0;
  units[512 ^ 'b'] = Unit(512 ^ 'b', 768, 'b', kLeaf);
  units[768] = 0x80000000 | 2;
  units[256 ^ 'c'] = Unit(256 ^ 'c', 1024, 'c');
  units[1024 ^ 'd'] = Unit(1024 ^ 'd', 768 ^ 1, 'd', kLeaf);
  units[768 ^ 1] = 0x80000000 | 4;
  return units;
}
const absl::string_view kTexts("x\0y\0\0", 5);

std::string Fault(const std::string& blob) {
  const auto rules = Charsmap::Parse(blob);
  return rules.ok() ? "ok" : std::string(rules.status().message());
}

TEST(CharsmapTest, TheShortestRuleThatBeginsTheTextReplacesIt) {
  const auto rules = Charsmap::Parse(Blob(Units(), kTexts));
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(rules->Find("a"), "x");
  EXPECT_EQ(rules->Find("ab"), "x");
  EXPECT_EQ(rules->Find("cd"), "");
  EXPECT_EQ(rules->Find("c"), std::nullopt);
  EXPECT_EQ(rules->Find("b"), std::nullopt);
  EXPECT_EQ(rules->Find(""), std::nullopt);
  EXPECT_EQ(rules->Find(absl::string_view("\0a", 2)), std::nullopt);
}

TEST(CharsmapTest, MalformedRulesSayWhatIsWrong) {
  const std::string prefix = "the rules are malformed: ";
  EXPECT_EQ(Fault("abc"), prefix + "they have 3 bytes, at least 4 are expected");
  EXPECT_EQ(Fault(Blob({}, "")), prefix + "the trie has 0 bytes, expected a multiple of 4 above 0");
  std::string blob = Blob(Units(), kTexts);
  blob[0] = 6;
  blob[1] = 0;
  EXPECT_EQ(Fault(blob), prefix + "the trie has 6 bytes, expected a multiple of 4 above 0");
  blob[3] = 1;
  EXPECT_EQ(Fault(blob), prefix + "the trie is said to have 16777222 bytes, but only 5125 follow");
  EXPECT_EQ(Fault(Blob(Units(), "x\xFF")), prefix + "the texts are not valid UTF-8");
  EXPECT_EQ(Fault(Blob(Units(), absl::string_view("x\0y\0z", 5))),
            prefix + "no text starts at 4 of 5 bytes");
  EXPECT_EQ(Fault(Blob(Units(), absl::string_view("x\0y\u00E9\0", 6))),
            prefix + "no text starts at 4 of 6 bytes");
  std::vector<uint32_t> units = Units();
  units[0] = 1280 << 10;
  EXPECT_EQ(Fault(Blob(units, kTexts)), prefix + "a state of the trie is 1280 of 1280");
  units = Units();
  units.resize(1000);
  EXPECT_EQ(Fault(Blob(units, kTexts)), prefix + "a state of the trie is 1024 of 1000");
}

TEST(CharsmapTest, ATrieThatGoesInCirclesIsSafe) {
  std::vector<uint32_t> units = Units();
  units[512 ^ 'b'] = Unit(512 ^ 'b', 512, 'b');
  units[256 ^ 'a'] = Unit(256 ^ 'a', 512, 'a');
  const auto rules = Charsmap::Parse(Blob(units, kTexts));
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(rules->Find("a" + std::string(1000, 'b')), std::nullopt);
}

// What SentencePiece compiled, with bytes changed: refused, or safe to use.
TEST(CharsmapTest, DamagedRulesNeverReadBeyondTheirEnd) {
  const auto file = JsonDocument::FromFile(GoldenPath("t5.json"));
  ASSERT_TRUE(file.ok()) << file.status();
  const std::string base64 = *file.value()
                                  ->root()
                                  .Member("normalizer")
                                  ->Member("normalizers")
                                  ->Elements()
                                  .value()[0]
                                  .Member("precompiled_charsmap")
                                  ->String();
  std::string good;
  ASSERT_TRUE(absl::Base64Unescape(base64, &good));
  ASSERT_EQ(Fault(good), "ok");
  std::mt19937 random(3);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string blob = good;
    for (size_t i = random() % 20; i > 0; --i) {
      blob[random() % blob.size()] = static_cast<char>(random());
    }
    if (round % 5 == 0) blob.resize(random() % blob.size());
    const auto rules = Charsmap::Parse(blob);
    if (!rules.ok()) {
      ++refused;
      continue;
    }
    for (int i = 0; i < 300; ++i) {
      std::string text(random() % 6, '\0');
      for (char& byte : text) byte = static_cast<char>(random());
      const auto replacement = rules->Find(text);
      ASSERT_TRUE(!replacement.has_value() ||
                  simdjson::validate_utf8(replacement->data(), replacement->size()));
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_LT(refused, 1900);
}

}  // namespace
}  // namespace quire
