#include "jinja/template.h"

#include "core/status_macros.h"
#include "jinja/interpreter.h"
#include "jinja/parser.h"

namespace quire::jinja {

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::~Template() = default;

absl::StatusOr<std::unique_ptr<const Template>> Template::Parse(absl::string_view source) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const Program> program, jinja::Parse(source));
  return std::unique_ptr<const Template>(new Template(std::move(program)));
}

absl::StatusOr<std::string> Template::Render(const Variables& variables, absl::Time now,
                                             const Limits& limits) const {
  Context context(limits, now);
  return Interpreter(*program_, context).Run(variables);
}

}  // namespace quire::jinja
