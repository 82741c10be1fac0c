// The Prompt events of one request, each made when the one before has been written: in wire form
// the log-probabilities of a long prompt take many megabytes.
#ifndef QUIRE_SERVER_PROMPT_PIECES_H_
#define QUIRE_SERVER_PROMPT_PIECES_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/ids.h"
#include "core/sampling_params.h"
#include "quire/v1/generation.pb.h"

namespace quire {

class PromptPieces {
 public:
  void SetText(std::string text) { text_ = std::move(text); }
  // Borrowed.
  void SetTokenIds(absl::Span<const TokenId> ids) { ids_ = ids; }
  void SetLogprobs(std::vector<TokenLogprobs> logprobs) { logprobs_ = std::move(logprobs); }

  // Of about kPromptPieceBytes, of one kind: text first, then ids, then log-probabilities. nullopt
  // while there is nothing (more).
  std::optional<v1::GenerateEvent> Next();

 private:
  std::string text_;
  size_t text_begin_ = 0;
  absl::Span<const TokenId> ids_;  // those to come
  std::vector<TokenLogprobs> logprobs_;
  size_t logprobs_begin_ = 0;
};

}  // namespace quire

#endif  // QUIRE_SERVER_PROMPT_PIECES_H_
