#include "model/rope_config.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr int64_t kMaxPositions = 1 << 26;
constexpr double kMaxFactor = 1e6;
constexpr double kMaxTheta = 1e30;

// What the file says of one kind of layers. Objects go in order of precedence.
struct Sections {
  JsonNode root;
  RopeDefaults defaults;
  std::vector<JsonNode> objects;
  bool by_kind = false;
  bool rotates = true;

  // The object that names the scaling.
  const JsonNode& scaling() const { return objects.front(); }
};

// A positive number, which must be there where `field` has no default.
absl::Status ReadPositive(const JsonNode& object, const char* key, double limit, bool required,
                          double& field) {
  const std::optional<JsonNode> member = object.Find(key);
  if (!member) return required ? object.Member(key).status() : absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(field, member->Number());
  if (field <= 0 || field > limit) {
    return member->Unexpected(absl::StrCat("a number above 0, to ", limit));
  }
  return absl::OkStatus();
}

absl::Status ReadFactor(const JsonNode& object, const char* key, bool required, double& field) {
  return ReadPositive(object, key, kMaxFactor, required, field);
}

// Finds what `key` says of the layers of `kind`.
absl::Status AddSection(absl::string_view key, absl::string_view kind, Sections& sections) {
  const std::optional<JsonNode> object = sections.root.Find(key);
  if (!object) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const auto members, object->Members());
  bool by_kind = object->Has(kind);
  for (const auto& [name, member] : members) by_kind = by_kind || member.value().is_object();
  if (!by_kind) {
    const bool counts = sections.defaults.takes_common_scaling && !members.empty();
    if (counts) sections.objects.push_back(*object);
    return absl::OkStatus();
  }
  sections.by_kind = true;
  if (const std::optional<JsonNode> own = object->Find(kind)) {
    QUIRE_RETURN_IF_ERROR(own->Members().status());
    sections.objects.push_back(*own);
  } else if (object->Has(kind)) {
    sections.rotates = false;
  }
  return absl::OkStatus();
}

absl::Status ReadTheta(const Sections& sections, RopeConfig& rope) {
  rope.theta = sections.defaults.theta;
  for (const JsonNode& object : sections.objects) {
    if (!object.Find("rope_theta")) continue;
    return ReadPositive(object, "rope_theta", kMaxTheta, true, rope.theta);
  }
  return ReadPositive(sections.root, sections.defaults.theta_key, kMaxTheta, false, rope.theta);
}

// The width that rotates: a part of the head, or a number of dims.
absl::Status ReadWidth(const Sections& sections, double& part, int& head_dim) {
  const JsonNode& root = sections.root;
  QUIRE_ASSIGN_OR_RETURN(const int64_t width, root.IntegerOr("qk_rope_head_dim", 1, 1 << 14,
                                                             sections.defaults.head_dim));
  head_dim = static_cast<int>(width);
  part = sections.defaults.rotated_part;
  const auto read = [&](const JsonNode& object, const char* key) -> absl::StatusOr<bool> {
    const std::optional<JsonNode> member = object.Find(key);
    if (!member) return false;
    QUIRE_ASSIGN_OR_RETURN(part, member->Number());
    if (part <= 0 || part > 1) return member->Unexpected("a number above 0, to 1");
    return true;
  };
  for (const JsonNode& object : sections.objects) {
    QUIRE_ASSIGN_OR_RETURN(const bool found, read(object, "partial_rotary_factor"));
    if (found) return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const bool found, read(root, sections.defaults.part_key));
  if (found || !root.Find("rotary_dim")) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const int64_t dims, root.IntegerOr("rotary_dim", 1, head_dim, head_dim));
  part = static_cast<double>(dims) / head_dim;
  return absl::OkStatus();
}

// The context that the model was first trained for: at the top level or in the object. Where kinds
// are told apart, a kind's own number goes first.
absl::Status ReadOriginalPositions(const Sections& sections, RopeConfig& rope) {
  constexpr const char* kKey = "original_max_position_embeddings";
  rope.original_max_positions = sections.defaults.max_positions;
  const JsonNode& own = sections.scaling();
  const bool top_first = !sections.by_kind && sections.root.Find(kKey).has_value();
  for (const JsonNode& object : {top_first ? sections.root : own, sections.root}) {
    if (!object.Find(kKey)) continue;
    QUIRE_ASSIGN_OR_RETURN(rope.original_max_positions,
                           object.IntegerOr(kKey, 2, kMaxPositions, 2));
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

// Where the object has none, the factor is that of the two contexts.
absl::Status ReadFactorOrRatio(const Sections& sections, RopeConfig& rope) {
  rope.factor = static_cast<double>(sections.defaults.max_positions) /
                static_cast<double>(rope.original_max_positions);
  return ReadFactor(sections.scaling(), "factor", false, rope.factor);
}

absl::Status ReadFactorOnly(const Sections& sections, RopeConfig& rope) {
  return ReadFactor(sections.scaling(), "factor", true, rope.factor);
}

// theta grows with an exponent of d / (d - 2).
absl::Status ReadNtk(const Sections& sections, RopeConfig& rope) {
  if (rope.rotary_dim < 4) {
    return sections.scaling().Error(
        absl::StrCat("NTK scaling needs 4 rotated dims at least, found ", rope.rotary_dim));
  }
  rope.original_max_positions = sections.defaults.max_positions;
  return ReadFactorOnly(sections, rope);
}

absl::Status ReadLlama3(const Sections& sections, RopeConfig& rope) {
  const JsonNode& scaling = sections.scaling();
  QUIRE_RETURN_IF_ERROR(ReadFactorOnly(sections, rope));
  QUIRE_RETURN_IF_ERROR(ReadFactor(scaling, "low_freq_factor", true, rope.low_freq_factor));
  QUIRE_RETURN_IF_ERROR(ReadFactor(scaling, "high_freq_factor", true, rope.high_freq_factor));
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    return scaling.Error(absl::StrCat("high_freq_factor (", rope.high_freq_factor,
                                      ") must be above low_freq_factor (", rope.low_freq_factor,
                                      ")"));
  }
  return ReadOriginalPositions(sections, rope);
}

absl::Status ReadYarn(const Sections& sections, RopeConfig& rope) {
  const JsonNode& scaling = sections.scaling();
  QUIRE_RETURN_IF_ERROR(ReadOriginalPositions(sections, rope));
  QUIRE_RETURN_IF_ERROR(ReadFactorOrRatio(sections, rope));
  QUIRE_RETURN_IF_ERROR(ReadFactor(scaling, "beta_fast", false, rope.beta_fast));
  QUIRE_RETURN_IF_ERROR(ReadFactor(scaling, "beta_slow", false, rope.beta_slow));
  if (rope.beta_fast < rope.beta_slow) {
    return scaling.Error(absl::StrCat("beta_fast (", rope.beta_fast,
                                      ") must not be below beta_slow (", rope.beta_slow, ")"));
  }
  if (rope.theta <= 1) {
    return scaling.Error(absl::StrCat("yarn needs a rope_theta above 1, found ", rope.theta));
  }
  QUIRE_ASSIGN_OR_RETURN(rope.truncate, scaling.BoolOr("truncate", true));
  QUIRE_ASSIGN_OR_RETURN(rope.mscale, scaling.NumberOr("mscale", 0));
  QUIRE_ASSIGN_OR_RETURN(rope.mscale_all_dim, scaling.NumberOr("mscale_all_dim", 0));
  for (const auto& [key, value] :
       {std::pair{"mscale", rope.mscale}, {"mscale_all_dim", rope.mscale_all_dim}}) {
    if (value < 0 || value > kMaxFactor) {
      return scaling.Error(
          absl::StrCat(key, " is ", value, ", expected a number from 0 to ", kMaxFactor));
    }
  }
  rope.attention_factor = YarnAttentionFactor(rope);
  return ReadFactor(scaling, "attention_factor", false, rope.attention_factor);
}

// One divisor for each rotated pair.
absl::Status ReadDivisors(const JsonNode& scaling, const char* key, const RopeConfig& rope,
                          std::vector<double>& divisors) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode list, scaling.Member(key));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list.Elements());
  if (static_cast<int>(elements.size()) != rope.rotary_dim / 2) {
    return list.Error(absl::StrCat("has ", elements.size(), " entries, expected one for each of ",
                                   rope.rotary_dim / 2, " rotated pairs"));
  }
  for (const JsonNode& element : elements) {
    QUIRE_ASSIGN_OR_RETURN(const double divisor, element.Number());
    if (divisor <= 0 || divisor > kMaxFactor) {
      return element.Unexpected(absl::StrCat("a number above 0, to ", kMaxFactor));
    }
    divisors.push_back(divisor);
  }
  return absl::OkStatus();
}

absl::Status ReadLongRope(const Sections& sections, RopeConfig& rope) {
  const JsonNode& scaling = sections.scaling();
  QUIRE_RETURN_IF_ERROR(ReadDivisors(scaling, "short_factor", rope, rope.short_factor));
  QUIRE_RETURN_IF_ERROR(ReadDivisors(scaling, "long_factor", rope, rope.long_factor));
  QUIRE_RETURN_IF_ERROR(ReadOriginalPositions(sections, rope));
  QUIRE_RETURN_IF_ERROR(ReadFactorOrRatio(sections, rope));
  rope.attention_factor =
      rope.factor <= 1
          ? 1.0
          : std::sqrt(1 + std::log(rope.factor) /
                              std::log(static_cast<double>(rope.original_max_positions)));
  return ReadFactor(scaling, "attention_factor", false, rope.attention_factor);
}

absl::Status ReadProportional(const Sections& sections, RopeConfig& rope) {
  return ReadFactor(sections.scaling(), "factor", false, rope.factor);
}

absl::Status ReadNothing(const Sections& /*sections*/, RopeConfig& /*rope*/) {
  return absl::OkStatus();
}

struct ScalingKind {
  const char* name;
  RopeScaling scaling;
  absl::Status (*read)(const Sections& sections, RopeConfig& rope);
};

constexpr ScalingKind kScalingKinds[] = {
    {"default", RopeScaling::kNone, ReadNothing},
    {"linear", RopeScaling::kLinear, ReadFactorOnly},
    {"dynamic", RopeScaling::kDynamicNtk, ReadNtk},
    {"ntk", RopeScaling::kNtk, ReadNtk},
    {"llama3", RopeScaling::kLlama3, ReadLlama3},
    {"yarn", RopeScaling::kYarn, ReadYarn},
    {"longrope", RopeScaling::kLongRope, ReadLongRope},
    {"proportional", RopeScaling::kProportional, ReadProportional},
};

// Early files of Phi-3 call longrope "su" or "yarn".
absl::StatusOr<const ScalingKind*> FindScaling(const JsonNode& scaling) {
  QUIRE_ASSIGN_OR_RETURN(const std::string old_key, scaling.StringOr("type", "default"));
  QUIRE_ASSIGN_OR_RETURN(std::string name, scaling.StringOr("rope_type", old_key));
  if (name == "su" || (name == "yarn" && scaling.Find("short_factor"))) {
    name = std::string("longrope");
  }
  std::vector<std::string> known;
  for (const ScalingKind& kind : kScalingKinds) {
    if (name == kind.name) return &kind;
    known.emplace_back(kind.name);
  }
  return scaling.Error(absl::StrCat("rope_type ", Quoted(name),
                                    " is not one of those that run: ", absl::StrJoin(known, ", ")));
}

}  // namespace

absl::StatusOr<RopeConfig> ReadRope(const JsonNode& root, const RopeDefaults& defaults,
                                    absl::string_view layer_kind) {
  Sections sections{.root = root, .defaults = defaults, .objects = {}};
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    QUIRE_RETURN_IF_ERROR(AddSection(key, layer_kind, sections));
  }
  RopeConfig rope;
  rope.interleaved = defaults.interleaved;
  rope.takes_scaling = defaults.takes_common_scaling;
  if (!sections.rotates) return rope;
  QUIRE_RETURN_IF_ERROR(ReadTheta(sections, rope));
  const ScalingKind* kind = &kScalingKinds[0];
  if (!sections.objects.empty()) {
    QUIRE_ASSIGN_OR_RETURN(kind, FindScaling(sections.scaling()));
  }
  rope.scaling = kind->scaling;
  double part = 0;
  int head_dim = 0;
  QUIRE_RETURN_IF_ERROR(ReadWidth(sections, part, head_dim));
  const bool proportional = rope.scaling == RopeScaling::kProportional;
  // The sum makes up for a part that is a quotient of rotary_dim.
  rope.rotary_dim = proportional ? head_dim : static_cast<int>(head_dim * part + 1e-9);
  rope.rotated_pairs = proportional ? static_cast<int>(part * head_dim / 2) : 0;
  if (rope.rotary_dim % 2 != 0 || rope.rotary_dim <= 0) {
    return root.Error(absl::StrCat(defaults.part_key, " ", part, " of head_dim ", head_dim,
                                   " rotates ", rope.rotary_dim,
                                   " dims, expected an even number of them"));
  }
  QUIRE_RETURN_IF_ERROR(kind->read(sections, rope));
  return rope;
}

}  // namespace quire
