#include "tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "core/utf8.h"

namespace quire {
namespace {

namespace dom = simdjson::dom;

constexpr double kUnknownPenalty = 10;

struct Entry {
  absl::string_view text;
  double score;
};

// Of [text, score]; nullopt where it is anything else.
std::optional<Entry> ParseEntry(dom::element element) {
  dom::array pair;
  std::string_view text;
  double score = 0;
  if (element.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
      pair.at(0).get(text) != simdjson::SUCCESS || pair.at(1).get(score) != simdjson::SUCCESS ||
      !std::isfinite(score)) {
    return std::nullopt;
  }
  return Entry{View(text), score};
}

}  // namespace

class Unigram::Encoder : public PieceEncoder {
 public:
  Encoder(const Unigram* model, CpuLimit* cpu_limit) : model_(*model), cpu_limit_(cpu_limit) {}
  absl::Status Encode(absl::string_view piece, std::vector<TokenId>* ids) override {
    QUIRE_RETURN_IF_ERROR(model_.FindBest(piece, cpu_limit_, &steps_));
    model_.AppendTokens(piece, steps_, ids);
    return absl::OkStatus();
  }

 private:
  const Unigram& model_;
  CpuLimit* cpu_limit_;
  std::vector<Step> steps_;
};

std::unique_ptr<PieceEncoder> Unigram::NewEncoder(CpuLimit* cpu_limit) const {
  return std::make_unique<Encoder>(this, cpu_limit);
}

absl::StatusOr<std::unique_ptr<const Unigram>> Unigram::Read(const JsonNode& model) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode list, model.Member("vocab"));
  dom::array elements;
  if (list.value().get(elements) != simdjson::SUCCESS) {
    return list.Unexpected("an array of [token, score]");
  }
  if (elements.size() > static_cast<size_t>(kMaxTokenId) + 1) {
    return list.Error(
        absl::StrCat("it has ", elements.size(), " tokens; the limit is ", kMaxTokenId + 1));
  }
  std::vector<Entry> entries;
  size_t text_bytes = 0;
  for (const dom::element element : elements) {
    const std::optional<Entry> entry = ParseEntry(element);
    if (!entry.has_value()) {
      return list.Element(entries.size(), element)
          .Unexpected("a token and its score, as [\"a\", -1.5]");
    }
    entries.push_back(*entry);
    text_bytes += entry->text.size();
  }
  Vocabulary vocabulary(text_bytes);
  std::vector<double> scores;
  for (const Entry& entry : entries) {
    const size_t id = scores.size();
    if (!vocabulary.Add(entry.text, static_cast<TokenId>(id))) {
      return list.Error(absl::StrCat("the tokens ", vocabulary.Find(entry.text), " and ", id,
                                     " are both ", Quoted(entry.text), "; each may occur once"));
    }
    scores.push_back(entry.score);
  }
  std::unique_ptr<Unigram> unigram(new Unigram(std::move(vocabulary), std::move(scores)));
  QUIRE_ASSIGN_OR_RETURN(unigram->byte_fallback_, model.BoolOr("byte_fallback", false));
  if (const std::optional<JsonNode> unknown = model.Find("unk_id")) {
    if (unigram->scores_.empty()) return list.Error("it is empty, but unk_id is set");
    QUIRE_ASSIGN_OR_RETURN(const int64_t id,
                           unknown->Integer(0, unigram->vocabulary().id_end() - 1));
    unigram->unknown_ = static_cast<TokenId>(id);
  }
  return unigram;
}

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores)
    : TokenModel(std::move(vocabulary)), tokens_(this->vocabulary()), scores_(std::move(scores)) {
  const auto lowest = std::min_element(scores_.begin(), scores_.end());
  unknown_score_ = (lowest == scores_.end() ? 0 : *lowest) - kUnknownPenalty;
  byte_tokens_ = ByteTokens(this->vocabulary());
}

absl::Status Unigram::FindBest(absl::string_view piece, CpuLimit* cpu_limit,
                               std::vector<Step>* steps) const {
  if (piece.size() > std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the normalised text has a word of ", piece.size(), " bytes; at most ",
                     std::numeric_limits<uint32_t>::max(), " are allowed"));
  }
  steps->assign(piece.size() + 1, Step{0, 0, kNoToken});
  // Of equals the one that begins first stays, which is the longest token.
  const auto offer = [steps](size_t begin, size_t end, double token_score, TokenId token) {
    Step& step = (*steps)[end];
    const double score = token_score + (*steps)[begin].score;
    if (step.token == kNoToken || score > step.score)
      step = {score, static_cast<uint32_t>(begin), token};
  };
  for (size_t begin = 0; begin < piece.size(); begin += Utf8Bytes(piece[begin])) {
    if (cpu_limit->IsPassedNowAndThen()) return ModelTookTooLong();
    const size_t character_end = begin + Utf8Bytes(piece[begin]);
    bool has_character = false;
    Trie::Node node = Trie::kRoot;
    for (size_t end = begin; end < piece.size();) {
      node = tokens_.Child(node, piece[end++]);
      if (node == Trie::kNoNode) break;
      const TokenId token = tokens_.Token(node);
      if (token == kNoToken) continue;
      offer(begin, end, scores_[token], token);
      has_character = has_character || end == character_end;
    }
    if (has_character) continue;
    if (unknown_ == kNoToken) {
      return absl::InvalidArgumentError(
          absl::StrCat("the text has ", Quoted(piece.substr(begin, character_end - begin)),
                       ", which the tokenizer lacks, and it has no unk_id"));
    }
    offer(begin, character_end, unknown_score_, unknown_);
  }
  return absl::OkStatus();
}

void Unigram::AppendTokens(absl::string_view piece, const std::vector<Step>& steps,
                           std::vector<TokenId>* ids) const {
  const size_t first = ids->size();
  for (size_t end = piece.size(); end > 0;) {
    const TokenId token = steps[end].token;
    size_t begin = steps[end].begin;
    if (token != unknown_) {
      ids->push_back(token);
    } else {
      // A run of unknown parts is one part.
      while (begin > 0 && steps[begin].token == unknown_) begin = steps[begin].begin;
      AppendUnknown(piece.substr(begin, end - begin), ids);
    }
    end = begin;
  }
  std::reverse(ids->begin() + static_cast<std::ptrdiff_t>(first), ids->end());
}

void Unigram::AppendUnknown(absl::string_view part, std::vector<TokenId>* ids) const {
  // Scores far from any that training gives can make two unknown characters better than a token.
  const TokenId whole = vocabulary().Find(part);
  const auto token_of = [this](char byte) {
    return byte_tokens_[static_cast<unsigned char>(byte)];
  };
  if (whole != kNoToken) {
    ids->push_back(whole);
  } else if (byte_fallback_ && std::all_of(part.begin(), part.end(),
                                           [&](char byte) { return token_of(byte) != kNoToken; })) {
    std::transform(part.rbegin(), part.rend(), std::back_inserter(*ids), token_of);
  } else {
    ids->push_back(unknown_);
  }
}

}  // namespace quire
