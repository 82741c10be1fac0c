// Encode, Decode and IncrementalDetokenizer against what the `tokenizers` package gives for 10,000
// strings, in every family of tests/golden/tokenizer. tools/make_tokenizer_golden.py describes the
// files and makes them.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/tokenizer/test_util.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/json.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace quire {
namespace {

constexpr size_t kNumStrings = 10'000;
constexpr size_t kNumIdSequences = 1'000;

// The CRC-32 of zlib, continued from `crc`.
uint32_t Crc32(absl::string_view bytes, uint32_t crc = 0) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      entries[i] = i;
      for (int bit = 0; bit < 8; ++bit) {
        entries[i] = (entries[i] >> 1) ^ ((entries[i] & 1) != 0 ? 0xEDB88320 : 0);
      }
    }
    return entries;
  }();
  crc = ~crc;
  for (const char byte : bytes) {
    crc = table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF] ^ (crc >> 8);
  }
  return ~crc;
}

uint32_t IdsDigest(const std::vector<TokenId>& ids) {
  return Crc32({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(TokenId)});
}

// Little-endian fields, in order.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}
  bool AtEnd() const { return bytes_.empty(); }
  uint8_t Byte() { return static_cast<uint8_t>(Bytes(1)[0]); }
  uint32_t Uint32() {
    uint32_t value = 0;
    std::memcpy(&value, Bytes(4).data(), 4);
    return value;
  }
  absl::string_view Bytes(size_t size) {
    const absl::string_view field = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return field;
  }

 private:
  absl::string_view bytes_;
};

void AppendPart(Reader* reader, std::string* text) {
  if (reader->Byte() == 0) {
    const uint32_t times = reader->Uint32();
    const absl::string_view unit = reader->Bytes(reader->Uint32());
    for (uint32_t i = 0; i < times; ++i) text->append(unit.data(), unit.size());
    return;
  }
  const uint32_t first = reader->Uint32();
  const uint32_t last = reader->Uint32();
  const absl::string_view before = reader->Bytes(reader->Uint32());
  const absl::string_view after = reader->Bytes(reader->Uint32());
  for (uint32_t c = first; c <= last; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    text->append(before.data(), before.size());
    AppendUtf8(c, text);
    text->append(after.data(), after.size());
  }
}

std::vector<std::string> ReadStrings() {
  const std::string file = ReadFileOrDie(GoldenPath("strings.bin"));
  std::vector<std::string> strings;
  for (Reader reader(file); !reader.AtEnd();) {
    std::string text;
    for (int parts = reader.Byte(); parts > 0; --parts) AppendPart(&reader, &text);
    strings.push_back(std::move(text));
  }
  return strings;
}

// As random_ids of the script.
std::vector<TokenId> RandomIds(size_t index, int32_t vocab_size) {
  uint64_t state = index + 1;
  std::vector<TokenId> ids;
  for (size_t i = 0; i < index % 40 + 1; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    ids.push_back(static_cast<TokenId>((state >> 33) % (static_cast<uint64_t>(vocab_size) + 3)));
  }
  return ids;
}

// Of the text with the special tokens and of that without. Checks that the text comes out the same
// token by token, but where the detokenizer says otherwise, in pieces of valid UTF-8.
uint32_t DecodedDigest(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  uint32_t crc = 0;
  for (const bool skip_special_tokens : {false, true}) {
    const std::string text = tokenizer.Decode(ids, skip_special_tokens);
    IncrementalDetokenizer detokenizer(&tokenizer, skip_special_tokens);
    std::string joined;
    bool valid = true;
    for (const TokenId id : ids) {
      const std::string piece = detokenizer.Append(id);
      valid = valid && simdjson::validate_utf8(piece);
      joined += piece;
    }
    joined += detokenizer.Finish();
    const bool same = joined == text || HasSpoiltByteRun(tokenizer, ids, skip_special_tokens);
    EXPECT_TRUE(valid && same) << "ids " << absl::StrJoin(ids, " ");
    crc = Crc32(text, crc);
  }
  return crc;
}

class GoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, EncodesAndDecodesAsThePackage) {
  const std::string family = GetParam();
  const std::unique_ptr<const Tokenizer> owned = LoadGolden(family);
  const Tokenizer& tokenizer = *owned;
  const std::vector<std::string> strings = ReadStrings();
  ASSERT_EQ(strings.size(), kNumStrings);
  const std::vector<std::string> readable =
      absl::StrSplit(ReadFileOrDie(GoldenPath(family + ".ids")), '\n');
  const std::string digests = ReadFileOrDie(GoldenPath(family + ".digests"));
  Reader reader(digests);

  int failures = 0;
  for (size_t i = 0; i < strings.size() && failures < 10; ++i) {
    const uint32_t ids_digest = reader.Uint32();
    const uint32_t text_digest = reader.Uint32();
    const auto ids = tokenizer.Encode(strings[i], /*add_special_tokens=*/i % 2 == 0);
    ASSERT_TRUE(ids.ok()) << ids.status() << " on string " << i;
    const bool same_ids = IdsDigest(*ids) == ids_digest;
    EXPECT_TRUE(same_ids) << "string " << i << ", " << Quoted(strings[i]) << "\n     ids "
                          << absl::StrJoin(*ids, " ").substr(0, 1000) << "\nexpected "
                          << (i + 1 < readable.size() ? readable[i] : "(not stored)");
    const bool same_text = DecodedDigest(tokenizer, *ids) == text_digest;
    EXPECT_TRUE(same_text || !same_ids) << "string " << i << ", " << Quoted(strings[i])
                                        << " decodes as " << Quoted(tokenizer.Decode(*ids, false));
    failures += same_ids && same_text ? 0 : 1;
  }
}

TEST_P(GoldenTest, DecodesAnyIdsAsThePackage) {
  const std::string family = GetParam();
  const std::unique_ptr<const Tokenizer> tokenizer = LoadGolden(family);
  const std::string digests = ReadFileOrDie(GoldenPath(family + ".digests"));
  ASSERT_EQ(digests.size(), 4 * (2 * kNumStrings + kNumIdSequences));
  Reader reader(absl::string_view(digests).substr(8 * kNumStrings));
  for (size_t i = 0; i < kNumIdSequences; ++i) {
    const std::vector<TokenId> ids = RandomIds(i, tokenizer->vocab_size());
    ASSERT_EQ(DecodedDigest(*tokenizer, ids), reader.Uint32())
        << "sequence " << i << ", ids " << absl::StrJoin(ids, " ");
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTest,
                         testing::Values("gpt2", "qwen2", "llama3", "o200k", "cl100k",
                                         "deepseek_v3", "deepseek_v2", "llama2", "mistral", "gemma",
                                         "nfkc", "punctuation", "metaspace", "bert", "bert_cased",
                                         "xlm_r", "t5", "albert", "unigram_bytes"),
                         [](const auto& info) { return std::string(info.param); });

// The cases that the demo checkpoint was made with.
TEST(FairytaleTest, EncodesAndDecodesAsItsGoldenCases) {
  const std::string dir = absl::StrCat(QUIRE_SOURCE_DIR, "/models/fairytale/");
  const auto tokenizer = Tokenizer::FromFile(dir + "tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  ASSERT_EQ(parser.load(dir + "golden.json").get(root), simdjson::SUCCESS);
  const auto list = JsonNode("golden.json", "", root).Member("tokenizer_cases");
  ASSERT_TRUE(list.ok()) << list.status();
  const auto cases = list->Elements();
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_GT(cases->size(), 0U);
  for (const JsonNode& entry : *cases) {
    const std::string text = *entry.Member("text")->String();
    const std::vector<JsonNode> id_nodes = entry.Member("ids")->Elements().value();
    std::vector<TokenId> expected;
    expected.reserve(id_nodes.size());
    for (const JsonNode& id : id_nodes) {
      expected.push_back(static_cast<TokenId>(*id.Integer(0, kMaxTokenId)));
    }
    const auto ids = (*tokenizer)->Encode(text, /*add_special_tokens=*/true);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, expected) << Quoted(text);
    EXPECT_EQ((*tokenizer)->Decode(*ids, /*skip_special_tokens=*/false),
              *entry.Member("decoded")->String());
  }
}

}  // namespace
}  // namespace quire
