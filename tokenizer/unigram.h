// SentencePiece's Unigram: the tokens whose scores have the highest sum.
#ifndef QUIRE_TOKENIZER_UNIGRAM_H_
#define QUIRE_TOKENIZER_UNIGRAM_H_

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace quire {

// Immutable and thread-safe.
class Unigram : public TokenModel {
 public:
  // vocab is a list of [text, score], in the order of the ids; unk_id (null: none), byte_fallback.
  static absl::StatusOr<std::unique_ptr<const Unigram>> Read(const JsonNode& model);
  std::unique_ptr<PieceEncoder> NewEncoder(CpuLimit* cpu_limit) const override;

 private:
  // The best way to an end, from its left: Viterbi's algorithm.
  struct Step {
    double score;    // of all tokens up to here
    uint32_t begin;  // of the last one
    TokenId token;   // kNoToken where nothing ends here yet
  };
  class Encoder;

  Unigram(Vocabulary vocabulary, std::vector<double> scores);

  // Fills `steps` [piece.size() + 1]. O(n * longest token); the time counts against `cpu_limit`.
  absl::Status FindBest(absl::string_view piece, CpuLimit* cpu_limit,
                        std::vector<Step>* steps) const;
  // Appends the tokens of the way that `steps` hold.
  void AppendTokens(absl::string_view piece, const std::vector<Step>& steps,
                    std::vector<TokenId>* ids) const;
  // Appends, last one first, the tokens of a part that has no token of its own.
  void AppendUnknown(absl::string_view part, std::vector<TokenId>* ids) const;

  Trie tokens_;
  std::vector<double> scores_;  // [id_end]
  double unknown_score_;        // of a character that is no token: 10 below the lowest score
  TokenId unknown_ = kNoToken;
  bool byte_fallback_ = false;
  std::array<TokenId, 256> byte_tokens_ = {};  // "<0x00>", ...; kNoToken where there is none
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_UNIGRAM_H_
