// Which rotary embedding a sequence gets, as far as those who do not compute it must know: the
// scaling that a server was asked for, and the length that the frequencies are made for.
#ifndef QUIRE_CORE_ROPE_CHOICE_H_
#define QUIRE_CORE_ROPE_CHOICE_H_

#include <cstdint>
#include <limits>
#include <string>

namespace quire {

// A rotary scaling in place of the one in config.json.
struct RopeChoice {
  enum class Kind : uint8_t {
    kModel,       // what config.json says
    kNone,        // no scaling
    kLinear,      // positions are divided by `factor`
    kNtk,         // theta grows by factor^(d / (d - 2))
    kDynamicNtk,  // the same by a prompt's length, past original_positions
    kYarn,
  };
  Kind kind = Kind::kModel;
  double factor = 1.0;
  int64_t original_positions = 0;  // kDynamicNtk, kYarn; 0: those of the model

  bool operator==(const RopeChoice&) const = default;
};

// "linear:4", "yarn:4:32768", "model".
std::string FormatRopeChoice(const RopeChoice& choice);

// The rotation that a sequence's keys were turned by. Only where it is equal may pages be shared.
struct SequenceRope {
  RopeChoice choice;
  // The frequencies are those of sequences of this length; 0: of any within the original context.
  int64_t length = 0;

  bool operator==(const SequenceRope&) const = default;
};

// Bytes that are equal for equal rotations only.
std::string RopeCacheKey(const SequenceRope& rope);

// The rotation of a request's sequences, fixed when the request comes in.
struct RequestRope {
  // How the frequencies of sequences longer than original_positions differ.
  enum class LengthRule : uint8_t {
    kNone,    // not at all
    kPrompt,  // by the prompt's length, which fixes them (dynamic NTK)
    kSwitch,  // there is one other set, which all positions take once the sequence is so long
  };
  RopeChoice choice;
  LengthRule rule = LengthRule::kNone;
  int64_t original_positions = 0;
  int64_t seen_positions = std::numeric_limits<int64_t>::max();  // by any row, see Seeing

  // Where no row sees more than so many positions, however long its sequence: a length counts for
  // no more than that.
  RequestRope Seeing(int64_t positions) const;
  // Of a sequence with this prompt, at its beginning.
  SequenceRope Start(int64_t prompt_tokens) const;
  // kSwitch, after it.
  SequenceRope Switched() const { return {.choice = choice, .length = original_positions + 1}; }
};

}  // namespace quire

#endif  // QUIRE_CORE_ROPE_CHOICE_H_
