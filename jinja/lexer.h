// A template's text to tokens, with white space controlled as in Jinja under trim_blocks and
// lstrip_blocks: the newline after a block or comment goes, and so do blanks before one on its
// line; "-" at a tag's side takes all white space there, "+" keeps it.
#ifndef QUIRE_JINJA_LEXER_H_
#define QUIRE_JINJA_LEXER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire::jinja {

enum class TokenKind {
  kText,        // of the template
  kPrintBegin,  // {{
  kPrintEnd,    // }}
  kBlockBegin,  // {%
  kBlockEnd,    // %}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // of a string, what it stands for; of an operator, its characters
  int64_t integer = 0;
  double number = 0;
};

// INVALID_ARGUMENT, "line 7: ...", for what is no template. The last token is kEnd.
absl::StatusOr<std::vector<Token>> Tokenise(absl::string_view source);

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_LEXER_H_
