#include "tokenizer/metaspace.h"

#include <optional>

#include "core/status_macros.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

absl::StatusOr<Metaspace::Prepend> ReadPrepend(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const bool add_prefix_space, node.BoolOr("add_prefix_space", true));
  const std::optional<JsonNode> scheme = node.Find("prepend_scheme");
  // Older files have only add_prefix_space.
  if (!scheme.has_value()) {
    return add_prefix_space ? Metaspace::Prepend::kAlways : Metaspace::Prepend::kNever;
  }
  QUIRE_ASSIGN_OR_RETURN(const std::string name, scheme->String());
  if (!add_prefix_space && name != "never") {
    return scheme->Unexpected("\"never\", as add_prefix_space is false");
  }
  if (name == "always") return Metaspace::Prepend::kAlways;
  if (name == "first") return Metaspace::Prepend::kFirst;
  if (name == "never") return Metaspace::Prepend::kNever;
  return scheme->Unexpected("one of always, first, never");
}

}  // namespace

absl::StatusOr<Metaspace> ReadMetaspace(const JsonNode& node) {
  Metaspace options;
  QUIRE_ASSIGN_OR_RETURN(const JsonNode replacement, node.Member("replacement"));
  QUIRE_ASSIGN_OR_RETURN(const char32_t mark, ReadCharacter(replacement));
  AppendUtf8(mark, &options.mark);
  QUIRE_ASSIGN_OR_RETURN(options.prepend, ReadPrepend(node));
  return options;
}

}  // namespace quire
