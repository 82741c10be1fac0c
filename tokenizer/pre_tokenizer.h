// The pre-tokenisers of tokenizer.json: they cut normalised text into pieces, and no token spans
// two.
//
// Supported: BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split,
// Whitespace, WhitespaceSplit.
#ifndef QUIRE_TOKENIZER_PRE_TOKENIZER_H_
#define QUIRE_TOKENIZER_PRE_TOKENIZER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/cpu_limit.h"
#include "tokenizer/json.h"

namespace quire {

// A text cut in pieces: half-open byte ranges, in order, none empty. What lies outside is dropped.
struct Pieces {
  struct Range {
    size_t begin;
    size_t end;
  };

  std::string text;
  std::vector<Range> ranges;
  bool at_start = false;          // of `text`: see NormalizedText
  CpuLimit* cpu_limit = nullptr;  // of the whole Encode; borrowed

  absl::string_view View(const Range& range) const {
    return absl::string_view(text).substr(range.begin, range.end - range.begin);
  }
};

// Immutable and thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts each piece further, and may rewrite it. INVALID_ARGUMENT when a Regex of the file meets
  // its limits on this text.
  virtual absl::Status Split(Pieces* pieces) const = 0;
};

absl::StatusOr<std::unique_ptr<const PreTokenizer>> ReadPreTokenizer(const JsonNode& node);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_PRE_TOKENIZER_H_
