#include "jinja/parser.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "core/status_macros.h"
#include "jinja/expression_parser.h"
#include "jinja/lexer.h"

namespace quire::jinja {
namespace {

constexpr int kMaxBlocks = 100;  // within each other

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  std::unique_ptr<const Program> Run() {
    auto program = std::make_unique<Program>();
    program->loop = Intern("loop");
    ParseBlock({}, program->body);
    FailIfUnknown();
    program->names = TakeNames();
    return program;
  }

 private:
  using Ends = std::initializer_list<absl::string_view>;

  // To the tag that is one of `ends`, whose name it takes and returns; or to the end of the
  // template where there are none.
  std::string ParseBlock(Ends ends, Block& block) {
    const int begin = tag_line_;
    if (++depth_ > kMaxBlocks) FailAt(begin, "blocks nest deeper than ", kMaxBlocks, " levels");
    std::string end;
    while (status().ok()) {
      if (IsKind(TokenKind::kEnd)) {
        if (ends.size() > 0) {
          FailAt(begin, "the block that begins here has no {% ", *(ends.end() - 1), " %}");
        }
        break;
      }
      if (IsKind(TokenKind::kBlockBegin) && next().kind == TokenKind::kName &&
          std::find(ends.begin(), ends.end(), next().text) != ends.end()) {
        Take();
        end = Take().text;
        break;
      }
      block.push_back(ParseStatement());
    }
    --depth_;
    return end;
  }

  void EndTag() {
    if (!IsKind(TokenKind::kBlockEnd)) FailAt(line(), "expected '%}', found ", Describe());
    tag_line_ = Take().line;
  }

  std::unique_ptr<Stmt> ParseStatement() {
    auto stmt = std::make_unique<Stmt>();
    stmt->line = line();
    if (IsKind(TokenKind::kText)) {
      stmt->text = Take().text;
    } else if (IsKind(TokenKind::kPrintBegin)) {
      Take();
      stmt->kind = StmtKind::kPrint;
      stmt->expr = ParseTuple();
      if (!IsKind(TokenKind::kPrintEnd)) FailAt(line(), "expected '}}', found ", Describe());
      Take();
    } else {
      Take();
      ParseTag(*stmt);
    }
    return stmt;
  }

  void ParseTag(Stmt& stmt) {
    const std::string tag = ExpectName("a tag's name");
    const std::pair<absl::string_view, void (Parser::*)(Stmt&)> tags[] = {
        {"set", &Parser::ParseSet},
        {"if", &Parser::ParseIf},
        {"for", &Parser::ParseFor},
        {"macro", &Parser::ParseMacro},
        {"filter", &Parser::ParseFilterBlock},
        {"with", &Parser::ParseWith},
        {"generation", &Parser::ParseGeneration},
        {"print", &Parser::ParsePrint},
        {"break", &Parser::ParseBreak},
        {"continue", &Parser::ParseContinue}};
    for (const auto& [name, parse] : tags) {
      if (name == tag) return (this->*parse)(stmt);
    }
    FailAt(stmt.line, "unknown or unsupported tag '", tag, "'");
  }

  // {% tag ... %} BODY {% end %}
  void ParseBody(absl::string_view end, Block& body) {
    EndTag();
    ParseBlock({end}, body);
    EndTag();
  }

  Target ParseOneTarget() {
    Target target;
    target.line = line();
    const std::string name = ExpectName("a name to assign to");
    for (absl::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (name == constant) FailAt(target.line, "cannot assign to '", name, "'");
    }
    target.name = Intern(name);
    if (SkipOperator(".")) target.attribute = ExpectName("an attribute's name");
    return target;
  }

  Target ParseTarget() {
    const bool in_brackets = SkipOperator("(");
    Target target = ParseOneTarget();
    if (IsOperator(",") || in_brackets) {
      Target tuple;
      tuple.line = target.line;
      tuple.is_tuple = IsOperator(",");
      tuple.parts.push_back(std::move(target));
      while (SkipOperator(",") && IsKind(TokenKind::kName) && !IsName("in")) {
        tuple.parts.push_back(ParseOneTarget());
      }
      target = tuple.is_tuple ? std::move(tuple) : std::move(tuple.parts[0]);
    }
    if (in_brackets) ExpectOperator(")");
    return target;
  }

  void ParseSet(Stmt& stmt) {
    stmt.target = ParseTarget();
    if (SkipOperator("=")) {
      stmt.kind = StmtKind::kSet;
      stmt.expr = ParseTuple();
      EndTag();
      return;
    }
    stmt.kind = StmtKind::kSetBlock;
    if (IsOperator("|")) stmt.expr = ParseFilters(nullptr);
    ParseBody("endset", stmt.body);
  }

  void ParseIf(Stmt& stmt) {
    stmt.kind = StmtKind::kIf;
    const size_t unknown = num_unknown();
    std::string tag = "if";
    while (status().ok() && tag != "endif") {
      Branch& branch = stmt.branches.emplace_back();
      if (tag != "else") branch.condition = ParseTuple(/*with_condition=*/false);
      EndTag();
      tag = tag == "else" ? ParseBlock({"endif"}, branch.body)
                          : ParseBlock({"elif", "else", "endif"}, branch.body);
    }
    EndTag();
    ForgetUnknown(unknown);
  }

  void ParseFor(Stmt& stmt) {
    stmt.kind = StmtKind::kFor;
    stmt.target = ParseTarget();
    if (!SkipName("in")) FailAt(line(), "expected 'in', found ", Describe());
    stmt.expr = ParseTuple(/*with_condition=*/false);
    if (SkipName("if")) stmt.condition = ParseExpression();
    if (IsName("recursive")) FailAt(line(), "recursive loops are not supported");
    EndTag();
    ++loops_;
    const std::string end = ParseBlock({"else", "endfor"}, stmt.body);
    --loops_;
    EndTag();
    if (end != "else") return;
    ParseBlock({"endfor"}, stmt.otherwise);
    EndTag();
  }

  void ParseMacro(Stmt& stmt) {
    stmt.kind = StmtKind::kMacro;
    stmt.text = ExpectName("the macro's name");
    stmt.name = Intern(stmt.text);
    ExpectOperator("(");
    while (!IsOperator(")") && status().ok()) {
      Parameter& parameter = stmt.parameters.emplace_back();
      parameter.name = Intern(ExpectName("a parameter's name"));
      if (SkipOperator("=")) {
        parameter.fallback = ParseExpression();
      } else if (stmt.parameters.size() > 1 &&
                 stmt.parameters[stmt.parameters.size() - 2].fallback != nullptr) {
        FailAt(line(), "a parameter without a default follows one with a default");
      }
      if (!SkipOperator(",")) break;
    }
    ExpectOperator(")");
    const int loops = std::exchange(loops_, 0);
    ParseBody("endmacro", stmt.body);
    loops_ = loops;
  }

  void ParseFilterBlock(Stmt& stmt) {
    stmt.kind = StmtKind::kFilterBlock;
    stmt.expr = ParseFilters(ParseFilter(nullptr));
    ParseBody("endfilter", stmt.body);
  }

  void ParseWith(Stmt& stmt) {
    stmt.kind = StmtKind::kWith;
    while (!IsKind(TokenKind::kBlockEnd) && status().ok()) {
      if (!stmt.assignments.empty()) ExpectOperator(",");
      Target target = ParseOneTarget();
      ExpectOperator("=");
      stmt.assignments.emplace_back(std::move(target), ParseExpression());
    }
    ParseBody("endwith", stmt.body);
  }

  void ParseGeneration(Stmt& stmt) {
    stmt.kind = StmtKind::kScope;
    const int loops = std::exchange(loops_, 0);
    ParseBody("endgeneration", stmt.body);
    loops_ = loops;
  }

  void ParsePrint(Stmt& stmt) {
    stmt.kind = StmtKind::kPrint;
    stmt.expr = ParseTuple();
    EndTag();
  }

  void ParseLoopControl(Stmt& stmt, StmtKind kind, absl::string_view name) {
    stmt.kind = kind;
    if (loops_ == 0) FailAt(stmt.line, "'", name, "' outside of a loop");
    EndTag();
  }
  void ParseBreak(Stmt& stmt) { ParseLoopControl(stmt, StmtKind::kBreak, "break"); }
  void ParseContinue(Stmt& stmt) { ParseLoopControl(stmt, StmtKind::kContinue, "continue"); }

  int depth_ = 0;
  int tag_line_ = 1;  // of the last tag
  int loops_ = 0;     // around what is parsed
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Program>> Parse(absl::string_view source) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenise(source));
  Parser parser(std::move(tokens));
  std::unique_ptr<const Program> program = parser.Run();
  if (!parser.status().ok()) return parser.status();
  return program;
}

}  // namespace quire::jinja
