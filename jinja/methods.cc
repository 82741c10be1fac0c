// Methods of texts, dicts and lists; what would change one is not there, as in Jinja's immutable
// sandbox.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/context.h"
#include "jinja/format.h"
#include "jinja/operations.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

using Result = absl::StatusOr<Value>;

absl::string_view Self(const Call& call) { return call.self.text_or_null()->text; }

Result Made(Call& call, std::string text) {
  return call.context.MakeText(std::move(text), call.self.text_or_null()->markup);
}

Result MadeList(Call& call, const std::vector<absl::string_view>& parts,
                SequenceKind kind = SequenceKind::kList) {
  std::vector<Value> items;
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  QUIRE_RETURN_IF_ERROR(call.context.Spend(static_cast<int64_t>(parts.size())));
  for (absl::string_view part : parts) {
    items.emplace_back(Value(std::string(part), call.self.text_or_null()->markup));
  }
  return call.context.MakeSequence(kind, std::move(items));
}

template <std::string (*function)(absl::string_view)>
Result Map(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  return Made(call, function(Self(call)));
}

template <CharacterClass wanted>
Result IsAllOf(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  return Value(IsAll(Self(call), wanted));
}

template <bool left, bool right>
Result StripSides(Call& call) {
  std::optional<absl::string_view> set;
  if (call.has(0) && !call.arg(0).is_none()) {
    QUIRE_ASSIGN_OR_RETURN(set, ToText(call.arg(0), "strip()'s argument"));
  }
  return Made(call, std::string(Strip(Self(call), set, left, right)));
}

template <bool from_right>
Result Split(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t max, call.IntegerOr(1, -1));
  if (!call.has(0) || call.arg(0).is_none()) {
    return MadeList(call, SplitWords(Self(call), max, from_right));
  }
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view separator,
                         ToText(call.arg(0), "split()'s separator"));
  if (separator.empty()) return TemplateError("empty separator");
  return MadeList(call, SplitAt(Self(call), separator, max, from_right));
}

template <bool from_right>
Result Partition(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view separator,
                         ToText(call.arg(0), "partition()'s separator"));
  if (separator.empty()) return TemplateError("empty separator");
  std::vector<absl::string_view> parts = SplitAt(Self(call), separator, 1, from_right);
  if (parts.size() == 2) {
    parts.insert(parts.begin() + 1, separator);
  } else {
    parts.insert(from_right ? parts.begin() : parts.end(), {"", ""});
  }
  return MadeList(call, parts, SequenceKind::kTuple);
}

// The part of the text between the arguments `start` and `end`, in characters.
absl::StatusOr<absl::string_view> Range(const Call& call, size_t start, size_t end) {
  const absl::string_view text = Self(call);
  if (!call.has(start) && !call.has(end)) return text;
  const Value none;
  const int64_t size = CountCharacters(text);
  const auto position = [&](size_t i, int64_t fallback) -> absl::StatusOr<int64_t> {
    if (!call.has(i) || call.arg(i).is_none()) return fallback;
    QUIRE_ASSIGN_OR_RETURN(int64_t at, ToInteger(call.arg(i), "an index"));
    if (at < 0) at += size;
    return std::clamp<int64_t>(at, 0, size);
  };
  QUIRE_ASSIGN_OR_RETURN(const int64_t first, position(start, 0));
  QUIRE_ASSIGN_OR_RETURN(const int64_t last, position(end, size));
  const size_t begin = ByteOf(text, first);
  return text.substr(begin, std::max(ByteOf(text, last), begin) - begin);
}

template <bool at_start>
Result HasAffix(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Spend(1));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view text, Range(call, 1, 2));
  const auto matches = [&](const Value& affix) -> absl::StatusOr<bool> {
    QUIRE_ASSIGN_OR_RETURN(const absl::string_view part, ToText(affix, "an affix"));
    return at_start ? absl::StartsWith(text, part) : absl::EndsWith(text, part);
  };
  const Sequence* several = call.arg(0).sequence_or_null();
  if (several == nullptr || several->kind != SequenceKind::kTuple) {
    QUIRE_ASSIGN_OR_RETURN(const bool found, matches(call.arg(0)));
    return Value(found);
  }
  for (const Value& affix : several->items) {
    QUIRE_ASSIGN_OR_RETURN(const bool found, matches(affix));
    if (found) return Value(true);
  }
  return Value(false);
}

template <bool at_start>
Result RemoveAffix(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view part, ToText(call.arg(0), "an affix"));
  absl::string_view text = Self(call);
  if (at_start && absl::StartsWith(text, part)) text.remove_prefix(part.size());
  if (!at_start && absl::EndsWith(text, part)) text.remove_suffix(part.size());
  return Made(call, std::string(text));
}

template <bool from_right, bool must_find>
Result Find(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view part, ToText(call.arg(0), "what is sought"));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view text, Range(call, 1, 2));
  const size_t found = from_right ? text.rfind(part) : text.find(part);
  if (found == absl::string_view::npos) {
    if (must_find) return TemplateError("substring not found");
    return Value(int64_t{-1});
  }
  const auto before = static_cast<size_t>(text.data() - Self(call).data());
  return Value(CountCharacters(Self(call).substr(0, before + found)));
}

Result Count(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view part, ToText(call.arg(0), "what is counted"));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view text, Range(call, 1, 2));
  return Value(CountOf(text, part));
}

Result ReplaceAll(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view from, ToText(call.arg(0), "replace()'s argument"));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view to, ToText(call.arg(1), "replace()'s argument"));
  QUIRE_ASSIGN_OR_RETURN(const int64_t max, call.IntegerOr(2, -1));
  QUIRE_RETURN_IF_ERROR(call.context.SpendBytes(SizeOfReplaced(Self(call), from, to, max)));
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  return Value(Replace(Self(call), from, to, max), call.self.text_or_null()->markup);
}

Result Join(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.arg(0)));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_text()) {
      return TemplateError("sequence item ", i, ": expected str instance, ", TypeName(items[i]),
                           " found");
    }
    if (i > 0) QUIRE_RETURN_IF_ERROR(AppendText(call.context, call.self, out));
    QUIRE_RETURN_IF_ERROR(AppendText(call.context, items[i], out));
  }
  return Made(call, std::move(out));
}

// ljust, rjust and center, of str.
template <bool left, bool right>
Result Justify(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t width, ToInteger(call.arg(0), "the width"));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view fill, call.TextOr(1, " "));
  if (CountCharacters(fill) != 1) {
    return TemplateError("the fill character must be exactly one character long");
  }
  const int64_t missing = std::max<int64_t>(0, width - CountCharacters(Self(call)));
  if (missing > call.context.limits().max_output_bytes) {
    QUIRE_RETURN_IF_ERROR(call.context.SpendBytes(missing));
  }
  // str.center puts the odd one left where the width is odd too.
  const int64_t before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0;
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += std::string(fill);
  out += std::string(Self(call));
  for (int64_t i = before; i < missing; ++i) out += std::string(fill);
  return Made(call, std::move(out));
}

Result FillWithZeros(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t width, ToInteger(call.arg(0), "zfill()'s argument"));
  absl::string_view text = Self(call);
  const int64_t missing = std::max<int64_t>(0, width - CountCharacters(text));
  QUIRE_RETURN_IF_ERROR(call.context.SpendBytes(missing));
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  const std::string sign(text.substr(0, has_sign ? 1 : 0));
  text.remove_prefix(sign.size());
  return Made(call, absl::StrCat(sign, std::string(static_cast<size_t>(missing), '0'), text));
}

Result DictGet(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.arg(0)));
  if (!IsHashable(call.arg(0))) {
    return TemplateError("unhashable type: '", TypeName(call.arg(0)), "'");
  }
  if (const Value* found = call.self.dict_or_null()->Find(call.arg(0))) return *found;
  return call.has(1) ? call.arg(1) : Value();
}

template <SequenceKind kind>
Result DictView(Call& call) {
  std::vector<Value> items;
  for (const auto& [key, value] : call.self.dict_or_null()->items) {
    if (kind == SequenceKind::kKeys) {
      items.push_back(key);
    } else if (kind == SequenceKind::kValues) {
      items.push_back(value);
    } else {
      QUIRE_ASSIGN_OR_RETURN(Value pair,
                             call.context.MakeSequence(SequenceKind::kTuple, {key, value}));
      items.push_back(std::move(pair));
    }
  }
  return call.context.MakeSequence(kind, std::move(items));
}

Result SequenceCount(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  const std::vector<Value>& items = call.self.sequence_or_null()->items;
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& one) { return Equals(one, call.arg(0)); })));
}

Result SequenceIndex(Call& call) {
  QUIRE_RETURN_IF_ERROR(call.context.Walk(call.self));
  const std::vector<Value>& items = call.self.sequence_or_null()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (Equals(items[i], call.arg(0))) return Value(static_cast<int64_t>(i));
  }
  return TemplateError("the list does not hold the value");
}

}  // namespace

absl::Span<const Builtin> TextMethods() {
  static const std::vector<Builtin>& methods = *new std::vector<Builtin>{
      {"capitalize", Map<Capitalize>},
      {"casefold", Map<Lower>},
      {"center", Justify<true, true>, {"width", "fillchar"}, 1},
      {"count", Count, {"sub", "start", "end"}, 1},
      {"endswith", HasAffix<false>, {"suffix", "start", "end"}, 1},
      {"find", Find<false, false>, {"sub", "start", "end"}, 1},
      {"format",
       [](Call& call) { return FormatBraces(call.context, call.self, call.all); },
       {},
       0,
       true},
      {"index", Find<false, true>, {"sub", "start", "end"}, 1},
      {"isalnum", IsAllOf<CharacterClass::kAlnum>},
      {"isalpha", IsAllOf<CharacterClass::kAlpha>},
      {"isdecimal", IsAllOf<CharacterClass::kDigit>},
      {"isdigit", IsAllOf<CharacterClass::kDigit>},
      {"islower", IsAllOf<CharacterClass::kLower>},
      {"isnumeric", IsAllOf<CharacterClass::kDigit>},
      {"isspace", IsAllOf<CharacterClass::kSpace>},
      {"isupper", IsAllOf<CharacterClass::kUpper>},
      {"join", Join, {"iterable"}, 1},
      {"ljust", Justify<false, true>, {"width", "fillchar"}, 1},
      {"lower", Map<Lower>},
      {"lstrip", StripSides<true, false>, {"chars"}},
      {"partition", Partition<false>, {"sep"}, 1},
      {"removeprefix", RemoveAffix<true>, {"prefix"}, 1},
      {"removesuffix", RemoveAffix<false>, {"suffix"}, 1},
      {"replace", ReplaceAll, {"old", "new", "count"}, 2},
      {"rfind", Find<true, false>, {"sub", "start", "end"}, 1},
      {"rindex", Find<true, true>, {"sub", "start", "end"}, 1},
      {"rjust", Justify<true, false>, {"width", "fillchar"}, 1},
      {"rpartition", Partition<true>, {"sep"}, 1},
      {"rsplit", Split<true>, {"sep", "maxsplit"}},
      {"rstrip", StripSides<false, true>, {"chars"}},
      {"split", Split<false>, {"sep", "maxsplit"}},
      {"splitlines",
       [](Call& call) { return MadeList(call, SplitLines(Self(call), call.TruthOr(0, false))); },
       {"keepends"}},
      {"startswith", HasAffix<true>, {"prefix", "start", "end"}, 1},
      {"strip", StripSides<true, true>, {"chars"}},
      {"swapcase", Map<SwapCase>},
      {"title", Map<Title>},
      {"upper", Map<Upper>},
      {"zfill", FillWithZeros, {"width"}, 1},
  };
  return methods;
}

absl::Span<const Builtin> DictMethods() {
  static const std::vector<Builtin>& methods = *new std::vector<Builtin>{
      {"copy", [](Call& call) -> Result { return call.self; }},
      {"get", DictGet, {"key", "default"}, 1},
      {"items", DictView<SequenceKind::kItems>},
      {"keys", DictView<SequenceKind::kKeys>},
      {"values", DictView<SequenceKind::kValues>},
  };
  return methods;
}

absl::Span<const Builtin> SequenceMethods() {
  static const std::vector<Builtin>& methods = *new std::vector<Builtin>{
      {"copy", [](Call& call) -> Result { return call.self; }},
      {"count", SequenceCount, {"value"}, 1},
      {"index", SequenceIndex, {"value"}, 1},
  };
  return methods;
}

}  // namespace quire::jinja
