// A parsed template. Immutable once parsed.
#ifndef QUIRE_JINJA_AST_H_
#define QUIRE_JINJA_AST_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jinja/builtin.h"
#include "jinja/value.h"

namespace quire::jinja {

// Of variables; an index into Program::names.
using NameId = int;

enum class ExprKind {
  kConstant,   // constant
  kName,       // name
  kTuple,      // operands
  kList,       // operands
  kDict,       // operands: keys and values in turn
  kAttribute,  // operands[0].text
  kItem,       // operands[0][operands[1]]
  kSlice,      // operands[0][operands[1]:operands[2]:operands[3]], the last three may be null
  kCall,       // operands[0](rest, named)
  kFilter,     // operands[0] | text(rest, named); operands[0] is null in filter blocks
  kTest,       // operands[0] is text(rest, named)
  kUnary,      // text operands[0]: "-", "+" or "not"
  kBinary,     // operands[0] text operands[1], of numbers, texts and lists
  kConcat,     // operands joined by "~"
  kAnd,        // operands
  kOr,         // operands
  kCompare,    // operands[0] comparisons[0] operands[1] ...
  kCondition,  // operands[1] if operands[0] else operands[2], which may be null
};

enum class Comparison {
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kIn,
  kNotIn
};
enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  int line = 0;
  Value constant;
  NameId name = 0;
  std::string text;
  std::vector<std::unique_ptr<Expr>> operands;
  std::vector<std::pair<std::string, std::unique_ptr<Expr>>> named;
  std::vector<Comparison> comparisons;
  BinaryOperator binary = BinaryOperator::kAdd;
  int height = 1;                    // of the tree below
  const Builtin* builtin = nullptr;  // a filter or test; null where there is none of this name
};
using ExprPtr = std::unique_ptr<Expr>;

// What an assignment writes to: one variable, an attribute of a namespace, or several of these.
struct Target {
  int line = 0;
  NameId name = 0;
  std::string attribute;  // of the namespace `name`; empty: the variable itself
  bool is_tuple = false;
  std::vector<Target> parts;
};

enum class StmtKind {
  kText,         // text
  kPrint,        // expr
  kSet,          // target = expr
  kSetBlock,     // target = body, through the filters of expr where there is one
  kFor,          // target in expr, if condition: body; else otherwise
  kIf,           // branches
  kMacro,        // name, parameters, body
  kFilterBlock,  // expr of body
  kWith,         // assignments, body
  kScope,        // body
  kBreak,
  kContinue,
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct Branch {
  ExprPtr condition;  // null: else
  Block body;
};

struct Parameter {
  NameId name = 0;
  ExprPtr fallback;  // null: it has none
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string text;
  Target target;
  ExprPtr expr;
  ExprPtr condition;
  Block body;
  Block otherwise;
  std::vector<Branch> branches;
  NameId name = 0;
  std::vector<Parameter> parameters;
  std::vector<std::pair<Target, ExprPtr>> assignments;
};

struct Program {
  Block body;
  std::vector<std::string> names;  // by NameId
  NameId loop = 0;                 // of "loop"
};

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_AST_H_
