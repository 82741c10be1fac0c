// What follows a value: subscripts, calls, filters and tests.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "jinja/expression_parser.h"

namespace quire::jinja {

ExprPtr ExpressionParser::ParsePostfix(ExprPtr expr) {
  while (true) {
    if (IsOperator(".") || IsOperator("[")) {
      expr = ParseSubscript(std::move(expr));
    } else if (IsOperator("(")) {
      expr = Make(ExprKind::kCall, line(), One(std::move(expr)));
      ParseArguments(*expr);
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::ParseSubscript(ExprPtr expr) {
  const Token op = Take();
  if (op.text == "[") return ParseSliceOrIndex(std::move(expr));
  if (IsKind(TokenKind::kInteger)) {
    ExprPtr index = ParsePrimary();
    return Make(ExprKind::kItem, op.line, Two(std::move(expr), std::move(index)));
  }
  ExprPtr made = Make(ExprKind::kAttribute, op.line, One(std::move(expr)));
  made->text = ExpectName("a name or a number after '.'");
  return made;
}

ExprPtr ExpressionParser::ParseSliceOrIndex(ExprPtr expr) {
  const int begin = line();
  const auto bound = [this]() -> ExprPtr {
    return IsOperator(":") || IsOperator("]") ? nullptr : ParseExpression();
  };
  ExprPtr first = bound();
  std::vector<ExprPtr> operands = Two(std::move(expr), std::move(first));
  const bool is_slice = IsOperator(":");
  for (int part = 0; part < 2 && is_slice; ++part) {
    operands.push_back(SkipOperator(":") ? bound() : nullptr);
  }
  if (!is_slice && operands[1] == nullptr) FailAt(begin, "expected an index, found ", Describe());
  ExpectOperator("]");
  return Make(is_slice ? ExprKind::kSlice : ExprKind::kItem, begin, std::move(operands));
}

void ExpressionParser::ParseArguments(Expr& call) {
  ExpectOperator("(");
  while (!IsOperator(")") && status_.ok()) {
    if (IsOperator("*") || IsOperator("**")) {
      FailAt(line(), "'", current().text, "' in the arguments of a call is not supported");
    }
    const bool is_named =
        IsKind(TokenKind::kName) && next().kind == TokenKind::kOperator && next().text == "=";
    ExprPtr value;
    if (is_named) {
      std::string name = Take().text;
      Take();
      value = ParseExpression();
      call.height = std::max(call.height, value->height + 1);
      call.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!call.named.empty()) FailAt(line(), "a positional argument follows a named one");
      value = ParseExpression();
      call.height = std::max(call.height, value->height + 1);
      call.operands.push_back(std::move(value));
    }
    if (!SkipOperator(",")) break;
  }
  if (call.height > kMaxHeight) {
    FailAt(call.line, "an expression has more than ", kMaxHeight, " levels");
  }
  ExpectOperator(")");
}

ExprPtr ExpressionParser::ParseFiltersAndTests(ExprPtr expr) {
  while (true) {
    if (SkipOperator("|")) {
      expr = ParseFilter(std::move(expr));
    } else if (IsName("is")) {
      expr = ParseTest(std::move(expr));
    } else if (IsOperator("(")) {
      expr = Make(ExprKind::kCall, line(), One(std::move(expr)));
      ParseArguments(*expr);
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::ParseFilters(ExprPtr expr) {
  while (SkipOperator("|")) expr = ParseFilter(std::move(expr));
  return expr;
}

ExprPtr ExpressionParser::ParseFilter(ExprPtr expr) {
  const int begin = line();
  ExprPtr made = Make(ExprKind::kFilter, begin, One(std::move(expr)));
  made->text = ExpectName("a filter's name");
  made->builtin = FindFilter(made->text);
  if (made->builtin == nullptr)
    unknown_.push_back({begin, absl::StrCat("filter named '", made->text, "'")});
  if (IsOperator("(")) ParseArguments(*made);
  return made;
}

ExprPtr ExpressionParser::ParseTest(ExprPtr expr) {
  const int begin = Take().line;  // "is"
  const bool negated = SkipName("not");
  ExprPtr made = Make(ExprKind::kTest, begin, One(std::move(expr)));
  made->text = ExpectName("a test's name");
  made->builtin = FindTest(made->text);
  if (made->builtin == nullptr)
    unknown_.push_back({begin, absl::StrCat("test named '", made->text, "'")});
  if (IsOperator("(")) {
    ParseArguments(*made);
  } else if ((IsKind(TokenKind::kName) && !IsName("else") && !IsName("or") && !IsName("and")) ||
             IsKind(TokenKind::kString) || IsKind(TokenKind::kInteger) ||
             IsKind(TokenKind::kFloat) || IsOperator("[") || IsOperator("{")) {
    if (IsName("is")) FailAt(begin, "tests cannot be chained with 'is'");
    ExprPtr argument = ParsePostfix(ParsePrimary());
    std::vector<ExprPtr> operands = Two(std::move(made->operands[0]), std::move(argument));
    const Builtin* builtin = made->builtin;
    const std::string name = made->text;
    made = Make(ExprKind::kTest, begin, std::move(operands));
    made->builtin = builtin;
    made->text = name;
  }
  if (!negated) return made;
  ExprPtr inverse = Make(ExprKind::kUnary, begin, One(std::move(made)));
  inverse->text = "not";
  return inverse;
}

}  // namespace quire::jinja
