// Chat templates: the part of Jinja that they use, rendered as the transformers library does.
//
// The language is Jinja 3.1's in its immutable sandbox, with trim_blocks, lstrip_blocks, loop
// controls and generation blocks, which render what they hold. Not there: inheritance, inclusion,
// call blocks, recursive loops, line statements, and the filters that serve web pages. Integers
// have 64 bits.
#ifndef QUIRE_JINJA_TEMPLATE_H_
#define QUIRE_JINJA_TEMPLATE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "jinja/context.h"
#include "jinja/value.h"

namespace quire::jinja {

struct Program;

using Variables = std::vector<std::pair<std::string, Value>>;

// Immutable and thread-safe.
class Template {
 public:
  // INVALID_ARGUMENT, "line 7: ...", for what is no template; `source` is UTF-8.
  static absl::StatusOr<std::unique_ptr<const Template>> Parse(absl::string_view source);
  ~Template();
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  // INVALID_ARGUMENT, with its words alone, where the template calls raise_exception; OUT_OF_RANGE
  // past a limit; FAILED_PRECONDITION for what the template does wrong. The last two begin with
  // "line 7: ". `now` is what strftime_now tells.
  absl::StatusOr<std::string> Render(const Variables& variables, absl::Time now,
                                     const Limits& limits = {}) const;

 private:
  explicit Template(std::unique_ptr<const Program> program);

  const std::unique_ptr<const Program> program_;
};

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_TEMPLATE_H_
