// Values to text: str, repr, JSON, and Python's two ways of formatting.
#ifndef QUIRE_JINJA_FORMAT_H_
#define QUIRE_JINJA_FORMAT_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "jinja/context.h"
#include "jinja/value.h"

namespace quire::jinja {

// str(value); of what is undefined, nothing.
absl::Status AppendText(Context& context, const Value& value, std::string& out);
absl::StatusOr<std::string> ToString(Context& context, const Value& value);
// repr(value).
absl::Status AppendRepr(Context& context, const Value& value, std::string& out);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; unset: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps(value). FAILED_PRECONDITION for what JSON has no form for.
absl::Status AppendJson(Context& context, const Value& value, const JsonStyle& style,
                        std::string& out);

// format % values.
absl::StatusOr<Value> FormatPercent(Context& context, const Value& format, const Value& values);
// format.format(*arguments).
absl::StatusOr<Value> FormatBraces(Context& context, const Value& format,
                                   const Arguments& arguments);

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_FORMAT_H_
