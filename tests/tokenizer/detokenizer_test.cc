#include "tokenizer/detokenizer.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>
#include <string>
#include <vector>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

// What each token and then Finish give, joined by "|".
std::string Pieces(const Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
  IncrementalDetokenizer detokenizer(&tokenizer, /*skip_special_tokens=*/false);
  std::string out;
  for (const std::string& token : tokens) {
    absl::StrAppend(&out, detokenizer.Append(*tokenizer.TokenToId(token)), "|");
  }
  return out + detokenizer.Finish();
}

TEST(DetokenizerTest, ByteLevelTokensNeverSplitACharacter) {
  const auto tokenizer = LoadGolden("gpt2");
  // U+00F0 U+0141 U+013A U+0122 stand for the bytes F0 9F 98 80.
  EXPECT_EQ(Pieces(*tokenizer, {"a", "\u00F0", "\u0141", "\u013A", "\u0122", "b"}),
            "a||||\U0001F600|b|");
  EXPECT_EQ(Pieces(*tokenizer, {"\u00F0", "\u0141"}), "||\uFFFD");
  EXPECT_EQ(Pieces(*tokenizer, {"\u00F0", "a", "\u0122"}), "|\uFFFDa|\uFFFD|");
}

TEST(DetokenizerTest, ByteTokensAreHeldToTheEndOfTheirRun) {
  const auto tokenizer = LoadGolden("llama2");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xC3>", "<0xA9>", "a"}), "||\u00E9a|");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xC3>", "<0xA9>"}), "||\u00E9");
  // One bad byte spoils the run: so the package decodes it.
  EXPECT_EQ(Pieces(*tokenizer, {"<0xC3>", "<0xA9>", "<0xC3>", "a"}), "|||\uFFFD\uFFFD\uFFFDa|");
}

TEST(DetokenizerTest, OnlyTheFirstSpaceIsStripped) {
  const auto llama2 = LoadGolden("llama2");
  EXPECT_EQ(Pieces(*llama2, {"\u2581the", "\u2581the"}), "the| the|");
  EXPECT_EQ(Pieces(*llama2, {"\u2581", "\u2581", "a"}), "| |a|");
  const auto gemma = LoadGolden("gemma");
  EXPECT_EQ(Pieces(*gemma, {"\u2581", "a"}), " |a|");
}

TEST(DetokenizerTest, StripAtTheEndHoldsBackWhatMayBeTheEnd) {
  TestFile file;
  file.decoder = R"({"type":"Sequence","decoders":[{"type":"Fuse"},
                     {"type":"Strip","content":" ","start":0,"stop":2}]})";
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(Pieces(*tokenizer, {"a", " ", " ", " ", "b", " "}), "a||| |  b||");
  file.decoder = R"({"type":"Strip","content":"a","start":1,"stop":1})";
  EXPECT_EQ(Pieces(*file.LoadOrDie(), {"ab", "a", "b"}), "b||b|");
}

TEST(DetokenizerTest, WithoutADecoderTokensAreJoinedWithSpaces) {
  TestFile file;
  file.decoder = "null";
  EXPECT_EQ(Pieces(*file.LoadOrDie(), {"a", "ab", "b"}), "a| ab| b|");
}

TEST(DetokenizerTest, AnyTokensJoinToWhatDecodeGives) {
  std::mt19937 random(4);
  for (const char* family : {"gpt2", "llama2", "mistral", "gemma", "metaspace"}) {
    const auto tokenizer = LoadGolden(family);
    for (int round = 0; round < 300; ++round) {
      const bool skip = round % 2 == 0;
      // Half of them from the start of the vocabulary, where the bytes are.
      const int32_t range = round % 4 < 2 ? 300 : tokenizer->vocab_size() + 2;
      std::vector<TokenId> ids(random() % 50);
      for (TokenId& id : ids) id = static_cast<TokenId>(random() % range);
      IncrementalDetokenizer detokenizer(tokenizer.get(), skip);
      std::string joined;
      for (const TokenId id : ids) {
        const std::string piece = detokenizer.Append(id);
        ASSERT_TRUE(simdjson::validate_utf8(piece));
        joined += piece;
      }
      joined += detokenizer.Finish();
      ASSERT_EQ(joined, tokenizer->Decode(ids, skip)) << family;
    }
  }
}

}  // namespace
}  // namespace quire
