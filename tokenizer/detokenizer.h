// Tokens to text while they are made.
#ifndef QUIRE_TOKENIZER_DETOKENIZER_H_
#define QUIRE_TOKENIZER_DETOKENIZER_H_

#include <memory>
#include <string>

#include "core/ids.h"
#include "tokenizer/tokenizer.h"

namespace quire {

// One per sequence; not thread-safe. Whatever it returns, joined, is Tokenizer::Decode of all the
// ids: it runs the same steps. Each piece is valid UTF-8: a character that is not finished is held
// back, and so is a run of byte tokens ("<0xE2>"), which only its end tells to be text or U+FFFD.
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
