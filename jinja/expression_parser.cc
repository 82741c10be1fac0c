#include "jinja/expression_parser.h"

#include <algorithm>
#include <optional>

namespace quire::jinja {
namespace {

constexpr int kMaxNesting = 100;  // of brackets, prefixes and conditions

}  // namespace

Token ExpressionParser::Take() {
  Token token = current();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::SkipName(absl::string_view name) {
  if (!IsName(name)) return false;
  Take();
  return true;
}

bool ExpressionParser::SkipOperator(absl::string_view op) {
  if (!IsOperator(op)) return false;
  Take();
  return true;
}

void ExpressionParser::ExpectOperator(absl::string_view op) {
  if (!SkipOperator(op)) FailAt(line(), "expected '", op, "', found ", Describe());
}

std::string ExpressionParser::ExpectName(absl::string_view what) {
  if (IsKind(TokenKind::kName)) return Take().text;
  FailAt(line(), "expected ", what, ", found ", Describe());
  return "";
}

void ExpressionParser::FailIfUnknown() {
  if (!unknown_.empty()) FailAt(unknown_[0].line, "there is no ", unknown_[0].what);
}

std::string ExpressionParser::Describe() const {
  switch (current().kind) {
    case TokenKind::kText:
      return "text";
    case TokenKind::kPrintBegin:
      return "'{{'";
    case TokenKind::kPrintEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kEnd:
      return "the end of the template";
    default:
      return absl::StrCat("'", current().text, "'");
  }
}

ExprPtr ExpressionParser::Make(ExprKind kind, int line, std::vector<ExprPtr> operands) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  expr->operands = std::move(operands);
  for (const ExprPtr& operand : expr->operands) {
    if (operand != nullptr) expr->height = std::max(expr->height, operand->height + 1);
  }
  if (expr->height > kMaxHeight) {
    FailAt(line, "an expression has more than ", kMaxHeight, " levels");
  }
  return expr;
}

NameId ExpressionParser::Intern(const std::string& name) {
  const auto [found, is_new] = ids_.try_emplace(name, static_cast<NameId>(names_.size()));
  if (is_new) names_.push_back(name);
  return found->second;
}

ExprPtr ExpressionParser::ParseExpression(bool with_condition) {
  if (++nesting_ > kMaxNesting) {
    FailAt(line(), "expressions nest deeper than ", kMaxNesting, " levels");
  }
  const size_t unknown = num_unknown();
  ExprPtr expr = ParseOr();
  while (with_condition && IsName("if")) {
    const int line = Take().line;
    ExprPtr condition = ParseOr();
    std::vector<ExprPtr> operands = Two(std::move(condition), std::move(expr));
    operands.push_back(SkipName("else") ? ParseExpression() : nullptr);
    expr = Make(ExprKind::kCondition, line, std::move(operands));
    ForgetUnknown(unknown);
  }
  --nesting_;
  return expr;
}

ExprPtr ExpressionParser::ParseOr() {
  ExprPtr left = ParseAnd();
  while (IsName("or")) {
    const int line = Take().line;
    left = Make(ExprKind::kOr, line, Two(std::move(left), ParseAnd()));
  }
  return left;
}

ExprPtr ExpressionParser::ParseAnd() {
  ExprPtr left = ParseNot();
  while (IsName("and")) {
    const int line = Take().line;
    left = Make(ExprKind::kAnd, line, Two(std::move(left), ParseNot()));
  }
  return left;
}

ExprPtr ExpressionParser::ParseNot() {
  if (!IsName("not")) return ParseCompare();
  const int line = Take().line;
  if (++nesting_ > kMaxNesting) {
    FailAt(line, "expressions nest deeper than ", kMaxNesting, " levels");
  }
  std::vector<ExprPtr> operand;
  operand.push_back(ParseNot());
  --nesting_;
  ExprPtr expr = Make(ExprKind::kUnary, line, std::move(operand));
  expr->text = "not";
  return expr;
}

bool ExpressionParser::TakeComparison(Comparison& comparison) {
  constexpr std::pair<absl::string_view, Comparison> kOperators[] = {
      {"==", Comparison::kEqual},  {"!=", Comparison::kNotEqual},
      {"<", Comparison::kLess},    {"<=", Comparison::kLessOrEqual},
      {">", Comparison::kGreater}, {">=", Comparison::kGreaterOrEqual}};
  for (const auto& [op, meaning] : kOperators) {
    if (!SkipOperator(op)) continue;
    comparison = meaning;
    return true;
  }
  if (SkipName("in")) {
    comparison = Comparison::kIn;
    return true;
  }
  if (IsName("not") && next().kind == TokenKind::kName && next().text == "in") {
    Take();
    Take();
    comparison = Comparison::kNotIn;
    return true;
  }
  return false;
}

ExprPtr ExpressionParser::ParseCompare() {
  const int begin = line();
  ExprPtr first = ParseSum();
  Comparison comparison = Comparison::kEqual;
  if (!TakeComparison(comparison)) return first;
  std::vector<ExprPtr> operands;
  operands.push_back(std::move(first));
  std::vector<Comparison> comparisons;
  do {
    comparisons.push_back(comparison);
    operands.push_back(ParseSum());
  } while (TakeComparison(comparison));
  ExprPtr expr = Make(ExprKind::kCompare, begin, std::move(operands));
  expr->comparisons = std::move(comparisons);
  return expr;
}

ExprPtr ExpressionParser::Binary(BinaryOperator op, int line, ExprPtr left, ExprPtr right) {
  ExprPtr expr = Make(ExprKind::kBinary, line, Two(std::move(left), std::move(right)));
  expr->binary = op;
  return expr;
}

ExprPtr ExpressionParser::ParseSum() {
  ExprPtr left = ParseConcat();
  while (IsOperator("+") || IsOperator("-")) {
    const Token op = Take();
    ExprPtr right = ParseConcat();
    left = Binary(op.text == "+" ? BinaryOperator::kAdd : BinaryOperator::kSubtract, op.line,
                  std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::ParseConcat() {
  const int begin = line();
  std::vector<ExprPtr> operands;
  operands.push_back(ParseProduct());
  while (SkipOperator("~")) operands.push_back(ParseProduct());
  if (operands.size() == 1) return std::move(operands[0]);
  return Make(ExprKind::kConcat, begin, std::move(operands));
}

ExprPtr ExpressionParser::ParseProduct() {
  constexpr std::pair<absl::string_view, BinaryOperator> kOperators[] = {
      {"*", BinaryOperator::kMultiply},
      {"/", BinaryOperator::kDivide},
      {"//", BinaryOperator::kFloorDivide},
      {"%", BinaryOperator::kModulo}};
  ExprPtr left = ParsePower();
  while (true) {
    const auto* const op = std::find_if(std::begin(kOperators), std::end(kOperators),
                                        [this](const auto& one) { return IsOperator(one.first); });
    if (op == std::end(kOperators)) return left;
    const int line = Take().line;
    ExprPtr right = ParsePower();
    left = Binary(op->second, line, std::move(left), std::move(right));
  }
}

ExprPtr ExpressionParser::ParsePower() {
  ExprPtr left = ParseUnary();
  while (IsOperator("**")) {
    const int line = Take().line;
    ExprPtr right = ParseUnary();
    left = Binary(BinaryOperator::kPower, line, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr ExpressionParser::ParseUnary(bool with_filters) {
  ExprPtr expr;
  if (IsOperator("-") || IsOperator("+")) {
    const Token op = Take();
    if (++nesting_ > kMaxNesting) {
      FailAt(op.line, "expressions nest deeper than ", kMaxNesting, " levels");
    }
    std::vector<ExprPtr> operand;
    operand.push_back(ParseUnary(false));
    --nesting_;
    expr = Make(ExprKind::kUnary, op.line, std::move(operand));
    expr->text = op.text;
  } else {
    expr = ParsePrimary();
  }
  expr = ParsePostfix(std::move(expr));
  return with_filters ? ParseFiltersAndTests(std::move(expr)) : std::move(expr);
}

ExprPtr ExpressionParser::ParsePrimary() {
  const int begin = line();
  const auto constant = [&](Value value) {
    ExprPtr expr = Make(ExprKind::kConstant, begin);
    expr->constant = std::move(value);
    return expr;
  };
  switch (current().kind) {
    case TokenKind::kName: {
      const std::string name = Take().text;
      if (name == "true" || name == "True") return constant(true);
      if (name == "false" || name == "False") return constant(false);
      if (name == "none" || name == "None") return constant(Value());
      ExprPtr expr = Make(ExprKind::kName, begin);
      expr->name = Intern(name);
      return expr;
    }
    case TokenKind::kString: {
      std::string text;
      while (IsKind(TokenKind::kString)) text += Take().text;
      return constant(std::move(text));
    }
    case TokenKind::kInteger:
      return constant(Take().integer);
    case TokenKind::kFloat:
      return constant(Take().number);
    default:
      break;
  }
  if (SkipOperator("(")) {
    ExprPtr expr = IsOperator(")") ? Make(ExprKind::kTuple, begin) : ParseTuple();
    ExpectOperator(")");
    return expr;
  }
  if (SkipOperator("[")) return ParseList();
  if (SkipOperator("{")) return ParseDict();
  FailAt(begin, "expected an expression, found ", Describe());
  return constant(Value());
}

ExprPtr ExpressionParser::ParseTuple(bool with_condition) {
  const int begin = line();
  const auto ends = [this] {
    return IsKind(TokenKind::kPrintEnd) || IsKind(TokenKind::kBlockEnd) || IsOperator(")") ||
           IsKind(TokenKind::kEnd);
  };
  std::vector<ExprPtr> parts;
  parts.push_back(ParseExpression(with_condition));
  if (!IsOperator(",")) return std::move(parts[0]);
  while (SkipOperator(",") && !ends()) parts.push_back(ParseExpression(with_condition));
  return Make(ExprKind::kTuple, begin, std::move(parts));
}

ExprPtr ExpressionParser::ParseList() {
  const int begin = line();
  std::vector<ExprPtr> items;
  while (!IsOperator("]") && status_.ok()) {
    items.push_back(ParseExpression());
    if (!SkipOperator(",")) break;
  }
  ExpectOperator("]");
  return Make(ExprKind::kList, begin, std::move(items));
}

ExprPtr ExpressionParser::ParseDict() {
  const int begin = line();
  std::vector<ExprPtr> items;
  while (!IsOperator("}") && status_.ok()) {
    items.push_back(ParseExpression());
    ExpectOperator(":");
    items.push_back(ParseExpression());
    if (!SkipOperator(",")) break;
  }
  ExpectOperator("}");
  return Make(ExprKind::kDict, begin, std::move(items));
}

}  // namespace quire::jinja
