#include "jinja/lexer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/status_macros.h"
#include "core/utf8.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

constexpr size_t kNone = absl::string_view::npos;

bool IsNameStart(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
bool IsNameCharacter(char c) { return IsNameStart(c) || IsDigit(c); }

// Appends what Python's "unicode-escape" makes of the escape at text[pos], a backslash; the bytes
// read. 0: it is none that can be written.
size_t AppendEscape(absl::string_view text, size_t pos, std::string& out) {
  constexpr absl::string_view kLetters = "\\'\"abfnrtv";
  constexpr absl::string_view kMeant = "\\'\"\a\b\f\n\r\t\v";
  const char next = text[pos + 1];
  if (next == '\n') return 2;
  if (const size_t found = kLetters.find(next); found != kNone) {
    out += kMeant[found];
    return 2;
  }
  size_t digits = next == 'x' ? 2 : next == 'u' ? 4 : next == 'U' ? 8 : 0;
  uint32_t code = 0;
  if (digits > 0) {
    const absl::string_view hex = text.substr(pos + 2, digits);
    if (hex.size() < digits || !absl::SimpleHexAtoi(hex, &code) ||
        !std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit) || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000)) {
      return 0;
    }
    AppendUtf8(code, &out);
    return 2 + digits;
  }
  for (; digits < 3 && pos + 1 + digits < text.size(); ++digits) {
    const char digit = text[pos + 1 + digits];
    if (digit < '0' || digit > '7') break;
    code = code * 8 + static_cast<uint32_t>(digit - '0');
  }
  if (digits > 0) {
    AppendUtf8(code, &out);
    return 1 + digits;
  }
  if (next == 'N') return 0;
  out += '\\';
  if (static_cast<unsigned char>(next) < 0x80) {
    out += next;
    return 2;
  }
  // Python writes the character as an escape first, and then finds two backslashes.
  const char32_t c = CodePointAt(text, pos + 1);
  absl::StrAppendFormat(&out,
                        c < 0x100     ? "x%02x"
                        : c < 0x10000 ? "u%04x"
                                      : "U%08x",
                        static_cast<unsigned>(c));
  return 1 + Utf8Bytes(next);
}

class Lexer {
 public:
  explicit Lexer(absl::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (pos_ < source_.size()) {
      const size_t tag = FindTag();
      if (tag == kNone) {
        AddText(source_.substr(pos_));
        Advance(source_.size());
        break;
      }
      QUIRE_RETURN_IF_ERROR(ReadTag(tag));
    }
    Add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  template <typename... Parts>
  absl::Status Error(const Parts&... parts) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", parts...));
  }

  Token& Add(TokenKind kind, std::string text = "") {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text)});
    return tokens_.back();
  }

  void AddText(absl::string_view text) {
    if (!text.empty()) Add(TokenKind::kText, std::string(text));
  }

  bool At(absl::string_view what) const { return absl::StartsWith(source_.substr(pos_), what); }

  // Moves to `end`, counting lines.
  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + pos_, source_.begin() + end, '\n'));
    if (end > pos_) after_newline_ = source_[end - 1] == '\n';
    pos_ = end;
  }

  size_t FindTag() const {
    for (size_t at = source_.find('{', pos_); at != kNone; at = source_.find('{', at + 1)) {
      const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return kNone;
  }

  // The text before a tag whose sign, at its left side, is `sign`.
  absl::string_view TextBefore(size_t tag, char sign, bool is_print) const {
    const absl::string_view text = source_.substr(pos_, tag - pos_);
    if (sign == '-') return Strip(text, std::nullopt, false, true);
    if (sign == '+' || is_print) return text;
    const size_t newline = text.rfind('\n');
    if (newline == kNone && !after_newline_) return text;
    const size_t begin = newline == kNone ? 0 : newline + 1;
    if (Strip(text.substr(begin), std::nullopt, true, false).empty()) return text.substr(0, begin);
    return text;
  }

  char SignAt(size_t at) const {
    const char sign = at < source_.size() ? source_[at] : '\0';
    return sign == '-' || sign == '+' ? sign : '\0';
  }

  void SkipSpace() {
    const absl::string_view rest = source_.substr(pos_);
    Advance(source_.size() - Strip(rest, std::nullopt, true, false).size());
  }

  // Past the end of a block or comment, with the white space that goes with it.
  void EndBlock(char sign, absl::string_view end) {
    Advance(pos_ + (sign == '\0' ? 0 : 1) + end.size());
    if (sign == '-') {
      SkipSpace();
    } else if (sign == '\0' && At("\n")) {
      Advance(pos_ + 1);
    }
  }

  absl::Status ReadTag(size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = SignAt(tag + 2);
    if (kind == '%') {
      if (const size_t raw = MatchRaw(tag + 2 + (sign == '\0' ? 0 : 1), "raw"); raw != kNone) {
        return ReadRaw(tag, sign, raw);
      }
    }
    AddText(TextBefore(tag, sign, kind == '{'));
    Advance(tag + 2 + (sign == '\0' ? 0 : 1));
    if (kind == '#') return ReadComment();
    Add(kind == '{' ? TokenKind::kPrintBegin : TokenKind::kBlockBegin);
    return ReadExpression(kind == '{' ? "}}" : "%}");
  }

  absl::Status ReadComment() {
    size_t end = source_.find("#}", pos_);
    if (end == kNone) return Error("a comment has no end");
    const char sign = end > pos_ ? SignAt(end - 1) : '\0';
    Advance(sign == '\0' ? end : end - 1);
    EndBlock(sign, "#}");
    return absl::OkStatus();
  }

  // Where the "-" or "%}" after the word `word` of a block stands that begins before `at`.
  size_t MatchRaw(size_t at, absl::string_view word) const {
    absl::string_view rest = Strip(source_.substr(at), std::nullopt, true, false);
    if (!absl::StartsWith(rest, word)) return kNone;
    rest = Strip(rest.substr(word.size()), std::nullopt, true, false);
    const bool ends = absl::StartsWith(rest, "%}") || absl::StartsWith(rest, "-%}") ||
                      (word == "endraw" && absl::StartsWith(rest, "+%}"));
    return ends ? source_.size() - rest.size() : kNone;
  }

  absl::Status ReadRaw(size_t tag, char sign, size_t begin_end) {
    AddText(TextBefore(tag, sign, false));
    Advance(begin_end);
    const bool strips = SignAt(pos_) == '-';
    Advance(pos_ + (strips ? 3 : 2));
    if (strips) SkipSpace();
    for (size_t at = source_.find("{%", pos_); at != kNone; at = source_.find("{%", at + 1)) {
      const char end_sign = SignAt(at + 2);
      const size_t end = MatchRaw(at + 2 + (end_sign == '\0' ? 0 : 1), "endraw");
      if (end == kNone) continue;
      AddText(TextBefore(at, end_sign, false));
      Advance(end);
      EndBlock(SignAt(pos_), "%}");
      return absl::OkStatus();
    }
    return Error("a raw block has no end");
  }

  // The tokens of a tag, to its `end`.
  absl::Status ReadExpression(absl::string_view end) {
    std::string open;  // brackets, within which `end` is none
    while (true) {
      if (pos_ == source_.size()) return Error("a tag has no end; expected ", end);
      if (open.empty()) {
        const char sign = SignAt(pos_);
        const bool is_print = end == "}}";
        if ((At("-") && absl::StartsWith(source_.substr(pos_ + 1), end)) || At(end) ||
            (!is_print && sign == '+' && absl::StartsWith(source_.substr(pos_ + 1), end))) {
          Add(is_print ? TokenKind::kPrintEnd : TokenKind::kBlockEnd);
          if (is_print && sign == '\0') {
            Advance(pos_ + 2);
          } else {
            EndBlock(sign, end);
          }
          return absl::OkStatus();
        }
      }
      if (IsSpace(CodePointAt(source_, pos_))) {
        SkipSpace();
        continue;
      }
      QUIRE_RETURN_IF_ERROR(ReadToken(open));
    }
  }

  absl::Status ReadToken(std::string& open) {
    const char c = source_[pos_];
    if (IsDigit(c)) return ReadNumber();
    if (IsNameStart(c)) {
      size_t end = pos_;
      while (end < source_.size() && IsNameCharacter(source_[end])) ++end;
      Add(TokenKind::kName, std::string(source_.substr(pos_, end - pos_)));
      Advance(end);
      return absl::OkStatus();
    }
    if (c == '"' || c == '\'') return ReadString(c);
    return ReadOperator(open);
  }

  absl::Status ReadOperator(std::string& open) {
    for (absl::string_view op :
         {"==", "!=", ">=", "<=", "//", "**", "+", "-", "*", "/", "%", "~", "[",
          "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"}) {
      if (!At(op)) continue;
      const size_t opens = absl::string_view("([{").find(op[0]);
      const size_t closes = absl::string_view(")]}").find(op[0]);
      if (opens != kNone) open += ")]}"[opens];
      if (closes != kNone) {
        if (open.empty()) return Error("unexpected '", op, "'");
        if (open.back() != op[0]) {
          return Error("unexpected '", op, "', expected '", open.substr(open.size() - 1), "'");
        }
        open.pop_back();
      }
      Add(TokenKind::kOperator, std::string(op));
      Advance(pos_ + op.size());
      return absl::OkStatus();
    }
    return Error("unexpected character '", source_.substr(pos_, Utf8Bytes(source_[pos_])), "'");
  }

  absl::Status ReadString(char quote) {
    std::string text;
    const int begin_line = line_;
    size_t at = pos_ + 1;
    while (at < source_.size() && source_[at] != quote) {
      if (source_[at] != '\\') {
        text += source_[at++];
        continue;
      }
      if (at + 1 == source_.size()) break;
      const size_t bytes = AppendEscape(source_, at, text);
      if (bytes == 0) {
        return Error("a string has an escape that stands for no character: ", source_.substr(at, 2),
                     "...");
      }
      at += bytes;
    }
    if (at >= source_.size()) return Error("a string has no end");
    Advance(at + 1);
    Add(TokenKind::kString, std::move(text)).line = begin_line;
    return absl::OkStatus();
  }

  // The end of the digits of `allowed` at `at`, between which single underscores may stand.
  size_t DigitsEnd(size_t at, absl::string_view allowed = "0123456789") const {
    const auto is_digit = [&](size_t i) {
      return i < source_.size() && allowed.find(source_[i]) != kNone;
    };
    while (is_digit(at) || (at < source_.size() && source_[at] == '_' && is_digit(at + 1))) ++at;
    return at;
  }

  // Past a fraction and an exponent, where they follow the digits that end at `end`.
  size_t FloatEnd(size_t end) const {
    const auto digit_at = [&](size_t i) { return i < source_.size() && IsDigit(source_[i]); };
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) end = DigitsEnd(end + 1);
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t sign = SignAt(end + 1) == '\0' ? 0 : 1;
      if (digit_at(end + 1 + sign)) end = DigitsEnd(end + 1 + sign);
    }
    return end;
  }

  // 0x1f, 0o17, 0b11; else a decimal, whose first digit is no zero but where all are.
  absl::Status ReadInteger(size_t end) {
    const char mark = pos_ + 1 < source_.size() ? absl::ascii_tolower(source_[pos_ + 1]) : '\0';
    int base = 10;
    if (source_[pos_] == '0') {
      base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
      constexpr absl::string_view kDigits = "0123456789abcdefABCDEF";
      end = base == 10 ? DigitsEnd(pos_, "0")
                       : DigitsEnd(pos_ + 2, base == 16 ? kDigits : kDigits.substr(0, base));
    }
    const std::string digits = absl::StrReplaceAll(
        source_.substr(pos_ + (base == 10 ? 0 : 2), end - pos_ - (base == 10 ? 0 : 2)),
        {{"_", ""}});
    Token& token = Add(TokenKind::kInteger, digits);
    errno = 0;
    token.integer = std::strtoll(digits.c_str(), nullptr, base);
    if (errno != 0) return Error("the number ", digits, " is out of range");
    Advance(end);
    return absl::OkStatus();
  }

  absl::Status ReadNumber() {
    // After a dot only whole numbers: x.0.1 are two positions.
    const bool after_dot = !tokens_.empty() && tokens_.back().kind == TokenKind::kOperator &&
                           tokens_.back().text == ".";
    const size_t digits_end = DigitsEnd(pos_);
    const size_t end = after_dot ? digits_end : FloatEnd(digits_end);
    if (end == digits_end) return ReadInteger(end);
    const std::string digits = absl::StrReplaceAll(source_.substr(pos_, end - pos_), {{"_", ""}});
    Token& token = Add(TokenKind::kFloat, digits);
    if (!absl::SimpleAtod(digits, &token.number)) {
      return Error("the number ", digits, " is out of range");
    }
    Advance(end);
    return absl::OkStatus();
  }

  const absl::string_view source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool after_newline_ = true;  // what was read last ended a line, or nothing was read
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenise(absl::string_view source) {
  // One kind of newline, and none at the end.
  std::string text = absl::StrReplaceAll(source, {{"\r\n", "\n"}, {"\r", "\n"}});
  if (absl::EndsWith(text, "\n")) text.pop_back();
  return Lexer(text).Run();
}

}  // namespace quire::jinja
