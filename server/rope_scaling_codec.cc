#include "server/rope_scaling_codec.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/status_macros.h"

namespace quire {
namespace {

absl::StatusOr<RopeChoice::Kind> DecodeKind(v1::RopeScalingKind kind) {
  switch (kind) {
    case v1::ROPE_SCALING_KIND_MODEL:
      return RopeChoice::Kind::kModel;
    case v1::ROPE_SCALING_KIND_NONE:
      return RopeChoice::Kind::kNone;
    case v1::ROPE_SCALING_KIND_LINEAR:
      return RopeChoice::Kind::kLinear;
    case v1::ROPE_SCALING_KIND_NTK:
      return RopeChoice::Kind::kNtk;
    case v1::ROPE_SCALING_KIND_DYNAMIC:
      return RopeChoice::Kind::kDynamicNtk;
    case v1::ROPE_SCALING_KIND_YARN:
      return RopeChoice::Kind::kYarn;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "kind is ", static_cast<int>(kind), "; set MODEL, NONE, LINEAR, NTK, DYNAMIC or YARN"));
  }
}

}  // namespace

absl::StatusOr<RopeChoice> DecodeRopeScaling(const v1::SetRopeScalingRequest& wire) {
  RopeChoice choice;
  QUIRE_ASSIGN_OR_RETURN(choice.kind, DecodeKind(wire.kind()));
  const bool has_factor =
      choice.kind != RopeChoice::Kind::kModel && choice.kind != RopeChoice::Kind::kNone;
  if (wire.has_factor() != has_factor) {
    return absl::InvalidArgumentError(
        absl::StrCat("factor is ", has_factor ? "not set" : "set", ", but the rotary scaling ",
                     FormatRopeChoice({.kind = choice.kind}), has_factor ? " needs" : " has no",
                     has_factor ? " one" : " factor"));
  }
  if (has_factor) choice.factor = wire.factor();
  if (wire.has_original_context()) {
    if (wire.original_context() == 0) {
      return absl::InvalidArgumentError(
          "original_context is 0; leave it unset for what config.json says");
    }
    choice.original_positions = wire.original_context();
  }
  return choice;
}

}  // namespace quire
