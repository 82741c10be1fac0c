#include "tokenizer/grapheme.h"

#include <utf8proc.h>

#include "core/utf8.h"
#include "tokenizer/grapheme_data.h"

namespace quire {
namespace {

using Class = GraphemeClass;

Class ClassOf(char32_t c) {
  if (c >= 0x20 && c < 0x7F) return Class::kOther;
  if (c >= 0xAC00 && c <= 0xD7A3)
    return (c - 0xAC00) % 28 == 0 ? Class::kHangulLv : Class::kHangulLvt;
  if (const auto* newer = FindRange(kGraphemeClassSinceUnicode14, c)) return newer->grapheme_class;
  if (FindRange(kPictographic, c) != nullptr) return Class::kPictographic;
  switch (utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->boundclass) {
    case UTF8PROC_BOUNDCLASS_CR:
      return Class::kCr;
    case UTF8PROC_BOUNDCLASS_LF:
      return Class::kLf;
    case UTF8PROC_BOUNDCLASS_CONTROL:
      return Class::kControl;
    case UTF8PROC_BOUNDCLASS_EXTEND:
      return Class::kExtend;
    case UTF8PROC_BOUNDCLASS_ZWJ:
      return Class::kZwj;
    case UTF8PROC_BOUNDCLASS_SPACINGMARK:
      return Class::kSpacingMark;
    case UTF8PROC_BOUNDCLASS_PREPEND:
      return Class::kPrepend;
    case UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR:
      return Class::kRegionalIndicator;
    case UTF8PROC_BOUNDCLASS_L:
      return Class::kHangulL;
    case UTF8PROC_BOUNDCLASS_V:
      return Class::kHangulV;
    case UTF8PROC_BOUNDCLASS_T:
      return Class::kHangulT;
    default:
      return Class::kOther;
  }
}

// The characters of a cluster so far, as far as the rules ask for them.
class Cluster {
 public:
  // Whether `c` belongs to the cluster of what was added before it.
  bool Joins(char32_t c, Class next) const {
    switch (last_) {
      case Class::kCr:
        return next == Class::kLf;
      case Class::kLf:
      case Class::kControl:
        return false;
      default:
        break;
    }
    switch (next) {
      case Class::kCr:
      case Class::kLf:
      case Class::kControl:
        return false;
      case Class::kExtend:
      case Class::kZwj:
      case Class::kSpacingMark:
        return true;
      default:
        break;
    }
    return last_ == Class::kPrepend || JoinsHangul(next) ||
           (next == Class::kPictographic && emoji_ == Emoji::kJoined) ||
           (next == Class::kRegionalIndicator && last_ == next && !is_flag_) ||
           (conjunct_ == Conjunct::kLinked && FindRange(kConjunctConsonants, c) != nullptr);
  }

  void Add(char32_t c, Class next) {
    is_flag_ = next == Class::kRegionalIndicator && last_ == next && !is_flag_;
    if (next == Class::kPictographic) {
      emoji_ = Emoji::kStarted;
    } else if (next == Class::kZwj) {
      emoji_ = emoji_ == Emoji::kStarted ? Emoji::kJoined : Emoji::kNone;
    } else if (next != Class::kExtend || emoji_ == Emoji::kJoined) {
      emoji_ = Emoji::kNone;
    }
    AddToConjunct(c, next);
    last_ = next;
  }

 private:
  enum class Emoji { kNone, kStarted, kJoined };     // a pictograph, and the joiner behind it
  enum class Conjunct { kNone, kStarted, kLinked };  // an Indic consonant, and a linker behind it

  bool JoinsHangul(Class next) const {
    switch (last_) {
      case Class::kHangulL:
        return next == Class::kHangulL || next == Class::kHangulV || next == Class::kHangulLv ||
               next == Class::kHangulLvt;
      case Class::kHangulLv:
      case Class::kHangulV:
        return next == Class::kHangulV || next == Class::kHangulT;
      case Class::kHangulLvt:
      case Class::kHangulT:
        return next == Class::kHangulT;
      default:
        return false;
    }
  }

  void AddToConjunct(char32_t c, Class next) {
    constexpr char32_t kZeroWidthNonJoiner = 0x200C;
    if (next == Class::kOther) {
      conjunct_ =
          FindRange(kConjunctConsonants, c) != nullptr ? Conjunct::kStarted : Conjunct::kNone;
    } else if ((next != Class::kExtend && next != Class::kZwj) || c == kZeroWidthNonJoiner) {
      conjunct_ = Conjunct::kNone;
    } else if (conjunct_ == Conjunct::kStarted && FindRange(kConjunctLinkers, c) != nullptr) {
      conjunct_ = Conjunct::kLinked;
    }
  }

  Class last_ = Class::kOther;
  bool is_flag_ = false;  // of two regional indicators
  Emoji emoji_ = Emoji::kNone;
  Conjunct conjunct_ = Conjunct::kNone;
};

}  // namespace

size_t GraphemeEnd(absl::string_view text, size_t begin) {
  Cluster cluster;
  size_t end = begin;
  do {
    const char32_t c = CodePointAt(text, end);
    const Class next = ClassOf(c);
    if (end > begin && !cluster.Joins(c, next)) break;
    cluster.Add(c, next);
    end += Utf8Bytes(text[end]);
  } while (end < text.size());
  return end;
}

}  // namespace quire
