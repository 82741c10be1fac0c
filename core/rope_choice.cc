#include "core/rope_choice.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace quire {
namespace {

const char* KindName(RopeChoice::Kind kind) {
  switch (kind) {
    case RopeChoice::Kind::kModel:
      return "model";
    case RopeChoice::Kind::kNone:
      return "none";
    case RopeChoice::Kind::kLinear:
      return "linear";
    case RopeChoice::Kind::kNtk:
      return "ntk";
    case RopeChoice::Kind::kDynamicNtk:
      return "dynamic";
    case RopeChoice::Kind::kYarn:
      return "yarn";
  }
  return "?";
}

}  // namespace

std::string FormatRopeChoice(const RopeChoice& choice) {
  std::string text = KindName(choice.kind);
  if (choice.kind == RopeChoice::Kind::kModel || choice.kind == RopeChoice::Kind::kNone) {
    return text;
  }
  absl::StrAppend(&text, ":", choice.factor);
  if (choice.original_positions > 0) absl::StrAppend(&text, ":", choice.original_positions);
  return text;
}

std::string RopeCacheKey(const SequenceRope& rope) {
  return absl::StrCat(KindName(rope.choice.kind), ":",
                      absl::Hex(std::bit_cast<uint64_t>(rope.choice.factor)), ":",
                      rope.choice.original_positions, ":", rope.length);
}

RequestRope RequestRope::Seeing(int64_t positions) const {
  RequestRope made = *this;
  made.seen_positions = positions;
  if (positions <= original_positions) made.rule = LengthRule::kNone;
  return made;
}

SequenceRope RequestRope::Start(int64_t prompt_tokens) const {
  if (rule == LengthRule::kNone || prompt_tokens <= original_positions) return {.choice = choice};
  if (rule == LengthRule::kSwitch) return Switched();
  return {.choice = choice, .length = std::min(prompt_tokens, seen_positions)};
}

}  // namespace quire
