// The names that every template has: range, dict, namespace, and what chat templates are given
// beside Jinja's own: raise_exception and strftime_now.
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/context.h"
#include "jinja/format.h"
#include "jinja/operations.h"

namespace quire::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// As Jinja's sandbox has it.
constexpr int64_t kMaxRange = 100'000;

Result Range(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(int64_t start, ToInteger(call.arg(0), "range()'s argument"));
  int64_t stop = start;
  if (call.has(1)) {
    QUIRE_ASSIGN_OR_RETURN(stop, ToInteger(call.arg(1), "range()'s argument"));
  } else {
    start = 0;
  }
  QUIRE_ASSIGN_OR_RETURN(const int64_t step, call.IntegerOr(2, 1));
  if (step == 0) return TemplateError("range() arg 3 must not be zero");
  std::vector<Value> items;
  int64_t at = start;
  while (step > 0 ? at < stop : at > stop) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      return TemplateError("a range has at most ", kMaxRange, " items");
    }
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  std::string repr = step == 1 ? absl::StrCat("range(", start, ", ", stop, ")")
                               : absl::StrCat("range(", start, ", ", stop, ", ", step, ")");
  return call.context.MakeSequence(SequenceKind::kRange, std::move(items), std::move(repr));
}

// The items of dict(...) and namespace(...): of a dict or of pairs, and the named ones.
absl::StatusOr<std::vector<std::pair<Value, Value>>> DictItems(Call& call) {
  std::vector<std::pair<Value, Value>> items;
  if (call.all.positional.size() > 1) {
    return TemplateError("dict() takes at most 1 positional argument");
  }
  for (const Value& given : call.all.positional) {
    if (const Dict* dict = given.dict_or_null()) {
      items = dict->items;
      continue;
    }
    QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Iterate(call.context, given));
    for (const Value& pair : pairs) {
      QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> both, Iterate(call.context, pair));
      if (both.size() != 2) return TemplateError("dict() takes pairs of key and value");
      items.emplace_back(both[0], both[1]);
    }
  }
  for (const auto& [name, value] : call.all.named) items.emplace_back(Value(name), value);
  return items;
}

Result MakeDict(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(auto items, DictItems(call));
  return call.context.MakeDict(std::move(items));
}

Result MakeNamespace(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(auto items, DictItems(call));
  std::vector<std::pair<std::string, Value>> attributes;
  for (auto& [key, value] : items) {
    QUIRE_ASSIGN_OR_RETURN(const absl::string_view name, ToText(key, "an attribute's name"));
    attributes.emplace_back(std::string(name), std::move(value));
  }
  return call.context.MakeNamespace(std::move(attributes));
}

Result RaiseException(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::string message, ToString(call.context, call.arg(0)));
  return absl::InvalidArgumentError(message);
}

// datetime.now().strftime(format): local time.
Result FormatNow(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view format,
                         ToText(call.arg(0), "strftime_now()'s argument"));
  constexpr size_t kMaxFormat = 1024;
  if (format.size() > kMaxFormat) {
    return TemplateError("strftime_now()'s format has ", format.size(), " bytes; the limit is ",
                         kMaxFormat);
  }
  if (format.empty()) return Value("");
  const absl::Time now = call.context.now();
  const auto microseconds = absl::ToInt64Microseconds(now - absl::FromTimeT(absl::ToTimeT(now)));
  const std::string pattern = absl::StrReplaceAll(
      format,
      {{"%%", "%%"}, {"%f", absl::StrFormat("%06d", microseconds)}, {"%z", ""}, {"%Z", ""}});
  const std::time_t seconds = absl::ToTimeT(now);
  std::tm local = {};
  localtime_r(&seconds, &local);
  std::string out(64 * kMaxFormat, '\0');
  out.resize(std::strftime(out.data(), out.size(), pattern.c_str(), &local));
  return call.context.MakeText(std::move(out));
}

}  // namespace

absl::Span<const Builtin> Functions() {
  static const std::vector<Builtin>& functions = *new std::vector<Builtin>{
      {"dict", MakeDict, {}, 0, true},
      {"namespace", MakeNamespace, {}, 0, true},
      {"raise_exception", RaiseException, {"message"}, 1},
      {"range", Range, {"start", "stop", "step"}, 1},
      {"strftime_now", FormatNow, {"format"}, 1},
  };
  return functions;
}

}  // namespace quire::jinja
