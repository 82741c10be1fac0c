// Tokens to text while they are made.
#ifndef QUIRE_TOKENIZER_DETOKENIZER_H_
#define QUIRE_TOKENIZER_DETOKENIZER_H_

#include <memory>
#include <string>

#include "core/ids.h"
#include "tokenizer/tokenizer.h"

namespace quire {

// One per sequence; not thread-safe. Each piece that it returns is valid UTF-8: the bytes of an
// unfinished character, at most 3, are held back. All pieces, joined, are Tokenizer::Decode of all
// the ids, whose steps it runs, but for two things that Decode does as the package does:
// - A run of byte tokens ("<0xE2>") that is not valid UTF-8 keeps its valid characters here, and
// only
//   the other bytes become U+FFFD each. Decode makes U+FFFD of them all, which takes the whole run.
// - What is skipped as special goes by Tokenizer::IsSpecial.
class IncrementalDetokenizer {
 public:
  // Borrows the tokenizer.
  IncrementalDetokenizer(const Tokenizer* tokenizer, bool skip_special_tokens);
  ~IncrementalDetokenizer();
  IncrementalDetokenizer(IncrementalDetokenizer&&) noexcept;
  IncrementalDetokenizer& operator=(IncrementalDetokenizer&&) noexcept;

  // The text that this token completes, possibly none.
  std::string Append(TokenId id);
  // What was held back, an unfinished character as U+FFFD. The last call.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::unique_ptr<DecodeStream> stream_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_DETOKENIZER_H_
