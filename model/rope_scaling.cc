#include "model/rope_scaling.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

using Kind = RopeChoice::Kind;

constexpr double kMaxFactor = 10000;
constexpr int64_t kMaxPositions = 1 << 26;

bool IsNtk(Kind kind) { return kind == Kind::kNtk || kind == Kind::kDynamicNtk; }

bool Takes(const RopeConfig& own) { return own.takes_scaling && own.rotary_dim > 0; }

// The context that the model was first trained for.
int64_t OriginalPositions(const RopeConfig& own, int64_t max_positions) {
  switch (own.scaling) {
    case RopeScaling::kLlama3:
    case RopeScaling::kYarn:
    case RopeScaling::kLongRope:
      return own.original_max_positions;
    default:
      return max_positions;
  }
}

absl::Status CheckNumbers(const RopeChoice& choice) {
  if (!(choice.factor >= 1 && choice.factor <= kMaxFactor)) {
    return absl::InvalidArgumentError(absl::StrCat("the factor of a rotary scaling is ",
                                                   choice.factor, ", expected a number from 1 to ",
                                                   kMaxFactor));
  }
  if (choice.original_positions != 0 &&
      (choice.original_positions < 2 || choice.original_positions > kMaxPositions)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the original context of a rotary scaling is ", choice.original_positions,
                     ", expected an integer from 2 to ", kMaxPositions));
  }
  if (choice.original_positions != 0 && choice.kind != Kind::kYarn &&
      choice.kind != Kind::kDynamicNtk) {
    return absl::InvalidArgumentError(
        absl::StrCat(FormatRopeChoice(choice), ": only yarn and dynamic have an original context"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRopeChoice(const ModelRopes& ropes, const RopeChoice& choice) {
  QUIRE_RETURN_IF_ERROR(CheckNumbers(choice));
  if (choice.kind == Kind::kModel) return absl::OkStatus();
  const std::string name = FormatRopeChoice(choice);
  if (std::none_of(ropes.own.begin(), ropes.own.end(), Takes)) {
    return absl::FailedPreconditionError(
        absl::StrCat("rotary scaling ", name, ": the model has no rotary embeddings to scale"));
  }
  for (const RopeConfig& own : ropes.own) {
    if (!Takes(own)) continue;
    if (own.scaling == RopeScaling::kProportional) {
      return absl::FailedPreconditionError(absl::StrCat(
          "rotary scaling ", name, ": the model's proportional rotation takes no other scaling"));
    }
    if (SoftmaxScaleFactor(ScaledRope(own, ropes.max_positions, choice)) !=
        SoftmaxScaleFactor(own)) {
      return absl::FailedPreconditionError(
          absl::StrCat("rotary scaling ", name,
                       ": the model's softmax scale belongs to its own scaling (mscale_all_dim)"));
    }
    if (IsNtk(choice.kind) && own.rotary_dim < 4) {
      return absl::FailedPreconditionError(
          absl::StrCat("rotary scaling ", name, " needs 4 rotated dims at least, the model has ",
                       own.rotary_dim));
    }
    if (choice.kind == Kind::kYarn && own.theta <= 1) {
      return absl::FailedPreconditionError(absl::StrCat(
          "rotary scaling ", name, " needs a rope_theta above 1, the model's is ", own.theta));
    }
  }
  return absl::OkStatus();
}

RopeConfig ScaledRope(const RopeConfig& own, int64_t max_positions, const RopeChoice& choice) {
  if (choice.kind == Kind::kModel || !Takes(own)) return own;
  RopeConfig scaled{.theta = own.theta,
                    .rotary_dim = own.rotary_dim,
                    .interleaved = own.interleaved,
                    .factor = choice.factor,
                    .original_max_positions = choice.original_positions > 0
                                                  ? choice.original_positions
                                                  : OriginalPositions(own, max_positions)};
  switch (choice.kind) {
    case Kind::kModel:
    case Kind::kNone:
      scaled.factor = 1.0;
      break;
    case Kind::kLinear:
      scaled.scaling = RopeScaling::kLinear;
      break;
    case Kind::kNtk:
      scaled.scaling = RopeScaling::kNtk;
      break;
    case Kind::kDynamicNtk:
      scaled.scaling = RopeScaling::kDynamicNtk;
      break;
    case Kind::kYarn:
      scaled.scaling = RopeScaling::kYarn;
      if (own.scaling == RopeScaling::kYarn) {  // another factor for what the model has
        scaled.beta_fast = own.beta_fast;
        scaled.beta_slow = own.beta_slow;
        scaled.truncate = own.truncate;
        scaled.mscale = own.mscale;
        scaled.mscale_all_dim = own.mscale_all_dim;
      }
      scaled.attention_factor = YarnAttentionFactor(scaled);
      break;
  }
  return scaled;
}

absl::StatusOr<RequestRope> RopeOfRequests(const ModelRopes& ropes, const RopeChoice& choice) {
  RequestRope made{.choice = choice};
  for (const RopeConfig& own : ropes.own) {
    const RopeConfig scaled = ScaledRope(own, ropes.max_positions, choice);
    if (!DependsOnLength(scaled)) continue;
    const auto rule = scaled.scaling == RopeScaling::kLongRope ? RequestRope::LengthRule::kSwitch
                                                               : RequestRope::LengthRule::kPrompt;
    if (made.rule == RequestRope::LengthRule::kNone) {
      made.rule = rule;
      made.original_positions = scaled.original_max_positions;
    } else if (made.rule != rule || made.original_positions != scaled.original_max_positions) {
      return absl::InvalidArgumentError(
          absl::StrCat("config.json: the rotary scalings of its kinds of layers depend on the "
                       "length differently (original contexts ",
                       made.original_positions, " and ", scaled.original_max_positions,
                       "), which does not run"));
    }
  }
  return made;
}

int64_t StretchedPositions(const ModelRopes& ropes, const RopeChoice& choice) {
  int64_t most = ropes.max_positions;
  for (const RopeConfig& own : ropes.own) {
    if (!Takes(own)) continue;
    most = std::max(most, StretchedPositions(ScaledRope(own, ropes.max_positions, choice),
                                             ropes.max_positions));
  }
  return most;
}

}  // namespace quire
