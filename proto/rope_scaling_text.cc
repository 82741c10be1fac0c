#include "proto/rope_scaling_text.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire {
namespace {

constexpr std::pair<const char*, v1::RopeScalingKind> kKinds[] = {
    {"model", v1::ROPE_SCALING_KIND_MODEL},     {"none", v1::ROPE_SCALING_KIND_NONE},
    {"linear", v1::ROPE_SCALING_KIND_LINEAR},   {"ntk", v1::ROPE_SCALING_KIND_NTK},
    {"dynamic", v1::ROPE_SCALING_KIND_DYNAMIC}, {"yarn", v1::ROPE_SCALING_KIND_YARN},
};

absl::Status Wrong(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no rotary scaling: ", why,
                   "; write model, none, linear:FACTOR, ntk:FACTOR, dynamic:FACTOR[:ORIGINAL] or "
                   "yarn:FACTOR[:ORIGINAL], as linear:4"));
}

}  // namespace

absl::StatusOr<v1::SetRopeScalingRequest> ParseRopeScaling(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  v1::SetRopeScalingRequest parsed;
  for (const auto& [name, kind] : kKinds) {
    if (parts[0] == name) parsed.set_kind(kind);
  }
  if (parsed.kind() == v1::ROPE_SCALING_KIND_UNSPECIFIED) {
    return Wrong(text, absl::StrCat("there is no kind \"", parts[0], "\""));
  }
  if (parts.size() > 3) return Wrong(text, "it has more than three parts");
  double factor = 0;
  if (parts.size() > 1) {
    if (!absl::SimpleAtod(parts[1], &factor)) {
      return Wrong(text, absl::StrCat("\"", parts[1], "\" is no number"));
    }
    parsed.set_factor(factor);
  }
  uint32_t original = 0;
  if (parts.size() > 2) {
    if (!absl::SimpleAtoi(parts[2], &original)) {
      return Wrong(text, absl::StrCat("\"", parts[2], "\" is no number of tokens"));
    }
    parsed.set_original_context(original);
  }
  return parsed;
}

}  // namespace quire
