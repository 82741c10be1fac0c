// The interpreter's part that evaluates expressions.
#include <utility>

#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/interpreter.h"
#include "jinja/operations.h"

namespace quire::jinja {

Interpreter::ValueOr Interpreter::Evaluate(const Expr& expr) {
  if (expr.kind == ExprKind::kConstant) return expr.constant;
  const absl::Status status = Descend();
  ValueOr value = status.ok() ? EvaluateAny(expr) : ValueOr(status);
  --depth_;
  if (!value.ok() && error_line_ == 0) error_line_ = expr.line;
  return value;
}

Interpreter::ValueOr Interpreter::EvaluateAny(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return Find(expr.name);
    case ExprKind::kTuple:
    case ExprKind::kList: {
      QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateAll(expr, 0));
      return context_.MakeSequence(
          expr.kind == ExprKind::kTuple ? SequenceKind::kTuple : SequenceKind::kList,
          std::move(items));
    }
    case ExprKind::kDict:
      return EvaluateDict(expr);
    case ExprKind::kAttribute: {
      QUIRE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.operands[0]));
      return GetAttribute(context_, object, expr.text);
    }
    case ExprKind::kItem: {
      QUIRE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expr.operands[0]));
      QUIRE_ASSIGN_OR_RETURN(const Value key, Evaluate(*expr.operands[1]));
      return GetItem(context_, object, key);
    }
    case ExprKind::kSlice:
      return EvaluateSlice(expr);
    case ExprKind::kCall:
      return EvaluateCall(expr);
    case ExprKind::kFilter:
    case ExprKind::kTest:
      return EvaluateBuiltin(expr);
    case ExprKind::kUnary:
      return EvaluateUnary(expr);
    case ExprKind::kBinary: {
      QUIRE_ASSIGN_OR_RETURN(const Value left, Evaluate(*expr.operands[0]));
      QUIRE_ASSIGN_OR_RETURN(const Value right, Evaluate(*expr.operands[1]));
      return Apply(context_, expr.binary, left, right);
    }
    case ExprKind::kConcat: {
      QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> parts, EvaluateAll(expr, 0));
      return Concatenate(context_, parts);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      QUIRE_ASSIGN_OR_RETURN(Value left, Evaluate(*expr.operands[0]));
      if (IsTrue(left) == (expr.kind == ExprKind::kOr)) return left;
      return Evaluate(*expr.operands[1]);
    }
    case ExprKind::kCompare:
      return EvaluateCompare(expr);
    case ExprKind::kCondition:
      break;
  }
  return EvaluateCondition(expr);
}

absl::StatusOr<std::vector<Value>> Interpreter::EvaluateAll(const Expr& expr, size_t from) {
  std::vector<Value> values;
  for (size_t i = from; i < expr.operands.size(); ++i) {
    QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*expr.operands[i]));
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const Expr& expr) {
  Arguments arguments;
  QUIRE_ASSIGN_OR_RETURN(arguments.positional, EvaluateAll(expr, 1));
  for (const auto& [name, operand] : expr.named) {
    QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*operand));
    arguments.named.emplace_back(name, std::move(value));
  }
  return arguments;
}

Interpreter::ValueOr Interpreter::EvaluateDict(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> values, EvaluateAll(expr, 0));
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i < values.size(); i += 2) {
    items.emplace_back(std::move(values[i]), std::move(values[i + 1]));
  }
  return context_.MakeDict(std::move(items));
}

Interpreter::ValueOr Interpreter::EvaluateSlice(const Expr& expr) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (expr.operands[i] == nullptr) continue;
    QUIRE_ASSIGN_OR_RETURN(parts[i], Evaluate(*expr.operands[i]));
  }
  return Slice(context_, parts[0], parts[1], parts[2], parts[3]);
}

Interpreter::ValueOr Interpreter::EvaluateCall(const Expr& expr) {
  const Expr& callee = *expr.operands[0];
  if (callee.kind == ExprKind::kAttribute) {
    // A method is called without a value of its own.
    QUIRE_ASSIGN_OR_RETURN(const Value object, Evaluate(*callee.operands[0]));
    const Builtin* method = FindMethod(object, callee.text);
    Value found;
    if (method == nullptr) {
      QUIRE_ASSIGN_OR_RETURN(found, GetAttribute(context_, object, callee.text));
      QUIRE_RETURN_IF_ERROR(CheckDefined(found));
    }
    QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
    if (method != nullptr) return Invoke(*method, context_, object, arguments);
    if (Object* function = found.object_or_null()) return function->Call(context_, arguments);
    return TemplateError("'", TypeName(found), "' object is not callable");
  }
  QUIRE_ASSIGN_OR_RETURN(const Value function, Evaluate(callee));
  QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
  QUIRE_RETURN_IF_ERROR(CheckDefined(function));
  if (Object* object = function.object_or_null()) return object->Call(context_, arguments);
  return TemplateError("'", TypeName(function), "' object is not callable");
}

Interpreter::ValueOr Interpreter::EvaluateBuiltin(const Expr& expr) {
  const bool is_filter = expr.kind == ExprKind::kFilter;
  if (expr.builtin == nullptr) {
    return TemplateError("there is no ", is_filter ? "filter" : "test", " named '", expr.text, "'");
  }
  Value self;
  if (expr.operands[0] == nullptr) {
    self = std::exchange(filtered_, Value());
  } else {
    QUIRE_ASSIGN_OR_RETURN(self, Evaluate(*expr.operands[0]));
  }
  QUIRE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expr));
  return Invoke(*expr.builtin, context_, self, arguments);
}

Interpreter::ValueOr Interpreter::EvaluateUnary(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*expr.operands[0]));
  if (expr.text == "not") return Value(!IsTrue(value));
  if (expr.text == "-") return Negate(context_, value);
  QUIRE_RETURN_IF_ERROR(CheckDefined(value));
  if (!value.number()) {
    return TemplateError("bad operand type for unary +: '", TypeName(value), "'");
  }
  return value.is_bool() ? Value(*value.integer()) : std::move(value);
}

Interpreter::ValueOr Interpreter::EvaluateCompare(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(Value left, Evaluate(*expr.operands[0]));
  for (size_t i = 0; i < expr.comparisons.size(); ++i) {
    QUIRE_ASSIGN_OR_RETURN(Value right, Evaluate(*expr.operands[i + 1]));
    QUIRE_ASSIGN_OR_RETURN(const bool holds, Compare(context_, expr.comparisons[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Interpreter::ValueOr Interpreter::EvaluateCondition(const Expr& expr) {
  QUIRE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expr.operands[0]));
  if (IsTrue(condition)) return Evaluate(*expr.operands[1]);
  if (expr.operands[2] != nullptr) return Evaluate(*expr.operands[2]);
  return Value::MakeUndefined(absl::StrCat("the inline if-expression on line ", expr.line,
                                           " evaluated to false and no else section was defined."));
}

}  // namespace quire::jinja
