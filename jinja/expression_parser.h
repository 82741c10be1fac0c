// The part of the parser that reads expressions.
#ifndef QUIRE_JINJA_EXPRESSION_PARSER_H_
#define QUIRE_JINJA_EXPRESSION_PARSER_H_

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace quire::jinja {

// The operands of an expression.
inline std::vector<ExprPtr> One(ExprPtr a) {
  std::vector<ExprPtr> operands;
  operands.push_back(std::move(a));
  return operands;
}
inline std::vector<ExprPtr> Two(ExprPtr a, ExprPtr b) {
  std::vector<ExprPtr> operands = One(std::move(a));
  operands.push_back(std::move(b));
  return operands;
}

// The first fault stays in status(), and from then on the tokens are at their end: what is parsed
// after it is never null, and never used.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const absl::Status& status() const { return status_; }

 protected:
  ExprPtr ParseExpression(bool with_condition = true);
  // An expression, or several with commas: a tuple.
  ExprPtr ParseTuple(bool with_condition = true);
  // "| name(...)" any number of times. `expr` may be null: what is filtered comes later.
  ExprPtr ParseFilters(ExprPtr expr);
  ExprPtr ParseFilter(ExprPtr expr);  // after the "|"
  ExprPtr ParsePrimary();
  ExprPtr ParsePostfix(ExprPtr expr);

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + (at_ + 1 < tokens_.size() ? 1 : 0)]; }
  int line() const { return current().line; }
  bool IsKind(TokenKind kind) const { return current().kind == kind; }
  bool IsName(absl::string_view name) const {
    return IsKind(TokenKind::kName) && current().text == name;
  }
  bool IsOperator(absl::string_view op) const {
    return IsKind(TokenKind::kOperator) && current().text == op;
  }
  Token Take();
  bool SkipName(absl::string_view name);
  bool SkipOperator(absl::string_view op);
  void ExpectOperator(absl::string_view op);
  std::string ExpectName(absl::string_view what);

  template <typename... Parts>
  void FailAt(int line, const Parts&... parts) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", parts...));
    }
    at_ = tokens_.size() - 1;
  }
  std::string Describe() const;  // the current token

  ExprPtr Make(ExprKind kind, int line, std::vector<ExprPtr> operands = {});
  NameId Intern(const std::string& name);
  std::vector<std::string> TakeNames() { return std::move(names_); }

  // Filters and tests that there are not. Under a condition they fail only once they are reached:
  // who parses one forgets what it holds.
  size_t num_unknown() const { return unknown_.size(); }
  void ForgetUnknown(size_t from) { unknown_.resize(std::min(from, unknown_.size())); }
  void FailIfUnknown();

 private:
  // Of the tree of an expression: deeper than any template's, and shallow enough for recursion.
  static constexpr int kMaxHeight = 300;

  ExprPtr ParseOr();
  ExprPtr ParseAnd();
  ExprPtr ParseNot();
  ExprPtr ParseCompare();
  bool TakeComparison(Comparison& comparison);
  ExprPtr ParseSum();
  ExprPtr ParseConcat();
  ExprPtr ParseProduct();
  ExprPtr ParsePower();
  ExprPtr ParseUnary(bool with_filters = true);
  ExprPtr ParseFiltersAndTests(ExprPtr expr);
  ExprPtr ParseTest(ExprPtr expr);
  ExprPtr ParseSubscript(ExprPtr expr);
  ExprPtr ParseSliceOrIndex(ExprPtr expr);
  ExprPtr ParseList();
  ExprPtr ParseDict();
  void ParseArguments(Expr& call);
  ExprPtr Binary(BinaryOperator op, int line, ExprPtr left, ExprPtr right);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  absl::Status status_;
  int nesting_ = 0;
  struct Unknown {
    int line = 0;
    std::string what;
  };
  std::vector<Unknown> unknown_;
  absl::flat_hash_map<std::string, NameId> ids_;
  std::vector<std::string> names_;
};

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_EXPRESSION_PARSER_H_
