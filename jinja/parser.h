// A template's tokens to its tree: Jinja's grammar, with loop controls (break, continue) and
// generation blocks, and without inheritance, inclusion, call blocks and recursive loops.
#ifndef QUIRE_JINJA_PARSER_H_
#define QUIRE_JINJA_PARSER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "jinja/ast.h"

namespace quire::jinja {

// INVALID_ARGUMENT, "line 7: ...", for what is no template.
absl::StatusOr<std::unique_ptr<const Program>> Parse(absl::string_view source);

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_PARSER_H_
