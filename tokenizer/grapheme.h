// Extended grapheme clusters: what a reader takes for one character.
#ifndef QUIRE_TOKENIZER_GRAPHEME_H_
#define QUIRE_TOKENIZER_GRAPHEME_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace quire {

// The end of the cluster that starts at text[begin]; `text` is valid UTF-8, and `begin` where
// another cluster of it ends or 0. By the rules of UAX #29, with Unicode 17's data.
size_t GraphemeEnd(absl::string_view text, size_t begin);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_GRAPHEME_H_
