#include "jinja/interpreter.h"

#include <algorithm>

#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/loop.h"
#include "jinja/operations.h"

namespace quire::jinja {

// A frame within the current one, which is current again at the end.
class Interpreter::Scope {
 public:
  explicit Scope(Interpreter& interpreter) : Scope(interpreter, interpreter.frame_) {}
  // The new frame sees `parent`'s names.
  Scope(Interpreter& interpreter, Frame* parent)
      : interpreter_(interpreter),
        outer_(interpreter.frame_),
        frame_(std::make_unique<Frame>(Frame{.parent = parent})) {
    interpreter_.frame_ = frame_.get();
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() {
    interpreter_.frame_ = outer_;
    if (frame_->is_captured) interpreter_.captured_.push_back(std::move(frame_));
  }

 private:
  Interpreter& interpreter_;
  Frame* const outer_;
  std::unique_ptr<Frame> frame_;
};

class Interpreter::Macro : public Object {
 public:
  Macro(Interpreter& interpreter, const Stmt& stmt, Frame& defined_in)
      : interpreter_(interpreter), stmt_(stmt), defined_in_(defined_in) {}

  absl::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  absl::StatusOr<Value> Call(Context& /*context*/, const Arguments& arguments) override {
    return interpreter_.CallMacro(stmt_, defined_in_, arguments);
  }

 private:
  Interpreter& interpreter_;
  const Stmt& stmt_;
  Frame& defined_in_;
};

absl::StatusOr<std::string> Interpreter::Run(const Variables& variables) {
  std::string out;
  absl::Status status;
  {
    const Scope globals(*this);
    for (size_t name = 0; name < program_.names.size(); ++name) {
      const std::string& text = program_.names[name];
      const auto given = std::find_if(variables.rbegin(), variables.rend(),
                                      [&](const auto& one) { return one.first == text; });
      if (given != variables.rend()) {
        SetVariable(static_cast<NameId>(name), given->second);
      } else if (const Builtin* function = FindFunction(text)) {
        SetVariable(static_cast<NameId>(name), MakeFunction(*function));
      }
    }
    const Scope root(*this);
    status = RunBlock(program_.body, out).status();
  }
  captured_.clear();
  if (status.ok()) return out;
  // What the template itself says stands alone.
  if (absl::IsInvalidArgument(status)) return status;
  return absl::Status(status.code(), absl::StrCat("line ", error_line_, ": ", status.message()));
}

absl::Status Interpreter::Descend() {
  if (++depth_ <= context_.limits().max_depth) return context_.Spend(1);
  return absl::OutOfRangeError(absl::StrCat("blocks, expressions and calls nest deeper than ",
                                            context_.limits().max_depth, " levels"));
}

Value Interpreter::Find(NameId name) const {
  for (const Frame* frame = frame_; frame != nullptr; frame = frame->parent) {
    for (const auto& [id, value] : frame->variables) {
      if (id == name) return value;
    }
  }
  return Value::MakeUndefined(
      absl::StrCat("'", program_.names[static_cast<size_t>(name)], "' is undefined"));
}

void Interpreter::SetVariable(NameId name, Value value) {
  for (auto& [id, old] : frame_->variables) {
    if (id != name) continue;
    old = std::move(value);
    return;
  }
  frame_->variables.emplace_back(name, std::move(value));
}

absl::Status Interpreter::Assign(const Target& target, Value value) {
  if (target.is_tuple) {
    QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(context_, value));
    if (items.size() != target.parts.size()) {
      return TemplateError(items.size() < target.parts.size() ? "not enough" : "too many",
                           " values to unpack (expected ", target.parts.size(), ", got ",
                           items.size(), ")");
    }
    for (size_t i = 0; i < items.size(); ++i) {
      QUIRE_RETURN_IF_ERROR(Assign(target.parts[i], std::move(items[i])));
    }
    return absl::OkStatus();
  }
  if (target.attribute.empty()) {
    SetVariable(target.name, std::move(value));
    return absl::OkStatus();
  }
  const Value object = Find(target.name);
  auto* const made = dynamic_cast<Namespace*>(object.object_or_null());
  if (made == nullptr) return TemplateError("cannot assign attribute on non-namespace object");
  return made->Set(target.attribute, std::move(value));
}

Interpreter::FlowOr Interpreter::RunBlock(const Block& block, std::string& out) {
  for (const auto& stmt : block) {
    QUIRE_ASSIGN_OR_RETURN(const Flow flow, RunStatement(*stmt, out));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::RunStatement(const Stmt& stmt, std::string& out) {
  const absl::Status status = Descend();
  FlowOr flow = status.ok() ? Dispatch(stmt, out) : FlowOr(status);
  --depth_;
  if (!flow.ok() && error_line_ == 0) error_line_ = stmt.line;
  return flow;
}

Interpreter::FlowOr Interpreter::Dispatch(const Stmt& stmt, std::string& out) {
  switch (stmt.kind) {
    case StmtKind::kText:
      QUIRE_RETURN_IF_ERROR(AppendText(context_, Value(stmt.text), out));
      return Flow::kNext;
    case StmtKind::kPrint: {
      QUIRE_ASSIGN_OR_RETURN(const Value value, Evaluate(*stmt.expr));
      QUIRE_RETURN_IF_ERROR(AppendText(context_, value, out));
      return Flow::kNext;
    }
    case StmtKind::kSet: {
      QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*stmt.expr));
      QUIRE_RETURN_IF_ERROR(Assign(stmt.target, std::move(value)));
      return Flow::kNext;
    }
    case StmtKind::kSetBlock: {
      QUIRE_ASSIGN_OR_RETURN(Value value, Capture(stmt.body, stmt.expr.get()));
      QUIRE_RETURN_IF_ERROR(Assign(stmt.target, std::move(value)));
      return Flow::kNext;
    }
    case StmtKind::kFilterBlock:
    case StmtKind::kScope: {
      QUIRE_ASSIGN_OR_RETURN(const Value value, Capture(stmt.body, stmt.expr.get()));
      QUIRE_RETURN_IF_ERROR(AppendText(context_, value, out));
      return Flow::kNext;
    }
    case StmtKind::kFor:
      return RunFor(stmt, out);
    case StmtKind::kIf:
      return RunIf(stmt, out);
    case StmtKind::kMacro:
      QUIRE_RETURN_IF_ERROR(RunMacro(stmt));
      return Flow::kNext;
    case StmtKind::kWith: {
      QUIRE_RETURN_IF_ERROR(RunWith(stmt, out));
      return Flow::kNext;
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      break;
  }
  return Flow::kContinue;
}

Interpreter::FlowOr Interpreter::RunIf(const Stmt& stmt, std::string& out) {
  for (const Branch& branch : stmt.branches) {
    if (branch.condition != nullptr) {
      QUIRE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition));
      if (!IsTrue(condition)) continue;
    }
    return RunBlock(branch.body, out);
  }
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::RunFor(const Stmt& stmt, std::string& out) {
  QUIRE_ASSIGN_OR_RETURN(const Value iterated, Evaluate(*stmt.expr));
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(context_, iterated));
  Loop::Test test;
  if (stmt.condition != nullptr) {
    test = [this, &stmt, outer = frame_](const Value& item) -> absl::StatusOr<bool> {
      const Scope scope(*this, outer);
      QUIRE_RETURN_IF_ERROR(Assign(stmt.target, item));
      QUIRE_ASSIGN_OR_RETURN(const Value passes, Evaluate(*stmt.condition));
      return IsTrue(passes);
    };
  }
  const auto loop = std::make_shared<Loop>(std::move(items), std::move(test));
  const auto run = [&]() -> absl::Status {
    QUIRE_ASSIGN_OR_RETURN(const Value variable, context_.MakeObject(loop));
    while (true) {
      QUIRE_ASSIGN_OR_RETURN(std::optional<Value> item, loop->Next());
      if (!item) return absl::OkStatus();
      const Scope scope(*this);
      SetVariable(program_.loop, variable);
      QUIRE_RETURN_IF_ERROR(Assign(stmt.target, *std::move(item)));
      QUIRE_RETURN_IF_ERROR(context_.Spend(1));
      QUIRE_ASSIGN_OR_RETURN(const Flow flow, RunBlock(stmt.body, out));
      if (flow == Flow::kBreak) return absl::OkStatus();
    }
  };
  const absl::Status status = run();
  loop->End();
  QUIRE_RETURN_IF_ERROR(status);
  if (loop->has_run()) return Flow::kNext;
  const Scope scope(*this);
  return RunBlock(stmt.otherwise, out);
}

absl::Status Interpreter::RunWith(const Stmt& stmt, std::string& out) {
  std::vector<Value> values;
  for (const auto& [target, expr] : stmt.assignments) {
    QUIRE_ASSIGN_OR_RETURN(Value value, Evaluate(*expr));
    values.push_back(std::move(value));
  }
  const Scope scope(*this);
  for (size_t i = 0; i < values.size(); ++i) {
    QUIRE_RETURN_IF_ERROR(Assign(stmt.assignments[i].first, std::move(values[i])));
  }
  return RunBlock(stmt.body, out).status();
}

absl::Status Interpreter::RunMacro(const Stmt& stmt) {
  for (Frame* frame = frame_; frame != nullptr; frame = frame->parent) frame->is_captured = true;
  QUIRE_ASSIGN_OR_RETURN(Value macro,
                         context_.MakeObject(std::make_shared<Macro>(*this, stmt, *frame_)));
  SetVariable(stmt.name, std::move(macro));
  return absl::OkStatus();
}

Interpreter::ValueOr Interpreter::Capture(const Block& body, const Expr* filters) {
  std::string text;
  {
    const Scope scope(*this);
    QUIRE_RETURN_IF_ERROR(RunBlock(body, text).status());
  }
  QUIRE_ASSIGN_OR_RETURN(Value value, context_.MakeText(std::move(text)));
  if (filters == nullptr) return value;
  filtered_ = std::move(value);
  return Evaluate(*filters);
}

Interpreter::ValueOr Interpreter::CallMacro(const Stmt& macro, Frame& defined_in,
                                            const Arguments& arguments) {
  const std::vector<Parameter>& parameters = macro.parameters;
  if (arguments.positional.size() > parameters.size()) {
    return TemplateError("macro '", macro.text, "' takes not more than ", parameters.size(),
                         " argument(s)");
  }
  std::vector<std::optional<Value>> values(arguments.positional.begin(),
                                           arguments.positional.end());
  values.resize(parameters.size());
  for (const auto& [name, value] : arguments.named) {
    size_t i = 0;
    while (i < parameters.size() &&
           program_.names[static_cast<size_t>(parameters[i].name)] != name) {
      ++i;
    }
    if (i == parameters.size()) {
      return TemplateError("macro '", macro.text, "' takes no keyword argument '", name, "'");
    }
    if (values[i]) {
      return TemplateError("macro '", macro.text, "' got twice the argument '", name, "'");
    }
    values[i] = value;
  }
  std::string out;
  {
    const Scope scope(*this, &defined_in);
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (!values[i] && parameters[i].fallback != nullptr) {
        QUIRE_ASSIGN_OR_RETURN(values[i], Evaluate(*parameters[i].fallback));
      } else if (!values[i]) {
        values[i] = Value::MakeUndefined(
            absl::StrCat("parameter '", program_.names[static_cast<size_t>(parameters[i].name)],
                         "' was not provided"));
      }
      SetVariable(parameters[i].name, *std::move(values[i]));
    }
    QUIRE_RETURN_IF_ERROR(RunBlock(macro.body, out).status());
  }
  return context_.MakeText(std::move(out));
}

}  // namespace quire::jinja
