// What the tests of the tokenizer share.
#ifndef QUIRE_TESTS_TOKENIZER_TEST_UTIL_H_
#define QUIRE_TESTS_TOKENIZER_TEST_UTIL_H_

#include <simdjson.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/check.h"
#include "tokenizer/tokenizer.h"

namespace quire {

inline std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  QUIRE_CHECK(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

inline std::string GoldenPath(absl::string_view name) {
  return absl::StrCat(QUIRE_SOURCE_DIR, "/tests/golden/tokenizer/", name);
}

using TokenizerOr = absl::StatusOr<std::unique_ptr<const Tokenizer>>;

inline std::unique_ptr<const Tokenizer> LoadGolden(absl::string_view family) {
  TokenizerOr tokenizer = Tokenizer::FromFile(GoldenPath(absl::StrCat(family, ".json")));
  QUIRE_CHECK(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

// The parts of a small tokenizer.json.
struct TestFile {
  std::string vocab = R"({"a":0,"b":1,"ab":2," ":3,"<unk>":4})";
  std::string merges = R"(["a b"])";
  std::string model;        // more of the model: R"("byte_fallback":true,)"
  std::string whole_model;  // where it is no byte pair encoding: the three above do not count
  std::string added_tokens = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = R"({"type":"Fuse"})";

  std::string Json() const {
    return absl::StrCat(
        R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)", added_tokens,
        R"(,"normalizer":)", normalizer, R"(,"pre_tokenizer":)", pre_tokenizer,
        R"(,"post_processor":)", post_processor, R"(,"decoder":)", decoder, R"(,"model":)",
        !whole_model.empty() ? whole_model
                             : absl::StrCat(R"({"type":"BPE",)", model, R"("vocab":)", vocab,
                                            R"(,"merges":)", merges, "}"),
        "}");
  }
  TokenizerOr Load() const { return Tokenizer::FromJson(Json(), "test.json"); }
  std::unique_ptr<const Tokenizer> LoadOrDie() const {
    TokenizerOr tokenizer = Load();
    QUIRE_CHECK(tokenizer.ok()) << tokenizer.status();
    return *std::move(tokenizer);
  }
};

// The texts of the tokens, joined by "|".
inline std::string Tokens(const Tokenizer& tokenizer, absl::string_view text,
                          bool add_special_tokens = false) {
  const auto ids = tokenizer.Encode(text, add_special_tokens);
  if (!ids.ok()) return ids.status().ToString();
  std::string out;
  for (const TokenId id : *ids) {
    absl::StrAppend(&out, out.empty() ? "" : "|", tokenizer.IdToToken(id));
  }
  return out;
}

// Whether some run of byte tokens ("<0xE2>") among `ids` is not valid UTF-8: there a stream's text
// differs from Decode's.
inline bool HasSpoiltByteRun(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                             bool skip_special_tokens) {
  std::string run;
  bool spoilt = false;
  const auto end_run = [&] {
    spoilt = spoilt || !simdjson::validate_utf8(run);
    run.clear();
  };
  for (const TokenId id : ids) {
    const std::string text(tokenizer.IdToToken(id));
    if (text.empty() || (skip_special_tokens && tokenizer.IsSpecial(id))) continue;
    if (text.size() == 6 && text.substr(0, 3) == "<0x") {
      run.push_back(static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16)));
    } else {
      end_run();
    }
  }
  end_run();
  return spoilt;
}

// The message of a file that is refused, or "ok".
inline std::string Message(const TestFile& file) {
  const TokenizerOr tokenizer = file.Load();
  if (tokenizer.ok()) return "ok";
  QUIRE_CHECK(absl::IsInvalidArgument(tokenizer.status())) << tokenizer.status();
  return std::string(tokenizer.status().message());
}

inline std::string Repeat(absl::string_view unit, size_t bytes) {
  std::string out;
  out.reserve(bytes + unit.size());
  while (out.size() < bytes) out.append(unit.data(), unit.size());
  return out;
}

// What `run` takes, at best of a few, so that other load does not count.
template <typename Run>
double Seconds(Run run) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

}  // namespace quire

#endif  // QUIRE_TESTS_TOKENIZER_TEST_UTIL_H_
