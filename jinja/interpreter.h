// Runs a parsed template once.
#ifndef QUIRE_JINJA_INTERPRETER_H_
#define QUIRE_JINJA_INTERPRETER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "jinja/ast.h"
#include "jinja/context.h"
#include "jinja/template.h"
#include "jinja/value.h"

namespace quire::jinja {

class Interpreter {
 public:
  // Both outlive it.
  Interpreter(const Program& program, Context& context) : program_(program), context_(context) {}

  // As Template::Render.
  absl::StatusOr<std::string> Run(const Variables& variables);

 private:
  class Macro;
  class Scope;

  // The variables of a block. A name is looked for from the innermost frame outwards.
  struct Frame {
    Frame* parent = nullptr;
    bool is_captured = false;  // a macro looks names up in it, as long as the rendering lasts
    std::vector<std::pair<NameId, Value>> variables;
  };
  enum class Flow { kNext, kBreak, kContinue };
  using FlowOr = absl::StatusOr<Flow>;
  using ValueOr = absl::StatusOr<Value>;

  FlowOr RunBlock(const Block& block, std::string& out);
  FlowOr RunStatement(const Stmt& stmt, std::string& out);
  FlowOr Dispatch(const Stmt& stmt, std::string& out);
  FlowOr RunIf(const Stmt& stmt, std::string& out);
  FlowOr RunFor(const Stmt& stmt, std::string& out);
  absl::Status RunWith(const Stmt& stmt, std::string& out);
  absl::Status RunMacro(const Stmt& stmt);
  // What the body in a scope of its own renders, through the filters where there are any.
  ValueOr Capture(const Block& body, const Expr* filters);
  ValueOr CallMacro(const Stmt& macro, Frame& defined_in, const Arguments& arguments);

  absl::Status Assign(const Target& target, Value value);
  void SetVariable(NameId name, Value value);
  Value Find(NameId name) const;

  ValueOr Evaluate(const Expr& expr);
  ValueOr EvaluateAny(const Expr& expr);
  ValueOr EvaluateCall(const Expr& expr);
  ValueOr EvaluateBuiltin(const Expr& expr);  // a filter or test
  ValueOr EvaluateCompare(const Expr& expr);
  ValueOr EvaluateUnary(const Expr& expr);
  ValueOr EvaluateSlice(const Expr& expr);
  ValueOr EvaluateDict(const Expr& expr);
  ValueOr EvaluateCondition(const Expr& expr);
  absl::StatusOr<std::vector<Value>> EvaluateAll(const Expr& expr, size_t from);
  absl::StatusOr<Arguments> EvaluateArguments(const Expr& expr);

  // A level deeper; OUT_OF_RANGE past the limit. The caller goes up again.
  absl::Status Descend();

  const Program& program_;
  Context& context_;
  Frame* frame_ = nullptr;
  std::vector<std::unique_ptr<Frame>> captured_;
  Value filtered_;  // by a filter without an operand
  int depth_ = 0;
  int error_line_ = 0;  // the innermost of what has failed
};

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_INTERPRETER_H_
