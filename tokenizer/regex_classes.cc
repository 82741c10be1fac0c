#include "tokenizer/regex_classes.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tokenizer/unicode_data.h"

namespace quire {
namespace {

constexpr absl::string_view kCategories[] = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N",  "Nd", "Nl", "No", "P", "Pc",
    "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp"};

std::string CategoryItems(absl::string_view category, ClassForm form) {
  std::string items = absl::StrCat("\\p{", category, "}");
  if (form == ClassForm::kShort) return items;
  for (const CategoryRange& range : kAssignedSinceUnicode14) {
    if (absl::StartsWith(range.category, category)) {
      absl::StrAppend(&items, RangeItem(range.first, range.last));
    }
  }
  return items;
}

template <size_t N>
std::string Items(const CodePointRange (&ranges)[N]) {
  std::string items;
  for (const CodePointRange& range : ranges) items += RangeItem(range.first, range.last);
  return items;
}

}  // namespace

std::string RangeItem(char32_t first, char32_t last) {
  const auto code_point = [](char32_t c) {
    return absl::StrCat("\\x{", absl::Hex(static_cast<uint32_t>(c)), "}");
  };
  return first == last ? code_point(first) : absl::StrCat(code_point(first), "-", code_point(last));
}

std::optional<std::string> PropertyItems(absl::string_view name, ClassForm form) {
  if (name == "Han") {
    // The script; PCRE2's \p{Han} has its Script_Extensions too.
    std::string items = "\\p{sc:Han}";
    if (form == ClassForm::kExact) {
      absl::StrAppend(&items, RangeItem(0x2B739, 0x2B739), RangeItem(0x2EBF0, 0x2EE5D),
                      RangeItem(0x31350, 0x323AF));
    }
    return items;
  }
  if (std::find(std::begin(kCategories), std::end(kCategories), name) == std::end(kCategories)) {
    return std::nullopt;
  }
  return CategoryItems(name, form);
}

std::string WhitespaceItems(ClassForm form) {
  // White_Space: PCRE2's \s has U+180E too.
  return form == ClassForm::kShort ? R"(\s)" : Items(kWhiteSpace);
}

std::string WordItems(ClassForm form, Place place) {
  // The symbols among the alphabetic characters, then the categories.
  std::string items = Items(kOtherAlphabeticSymbols);
  for (const absl::string_view category : {"L", "M", "Nd", "Nl", "Pc"}) {
    items += CategoryItems(category, form);
  }
  if (place == Place::kOutsideClass) items += R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
  return items;
}

}  // namespace quire
