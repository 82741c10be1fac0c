// The Unicode normal forms.
#ifndef QUIRE_TOKENIZER_UNICODE_NORMALIZE_H_
#define QUIRE_TOKENIZER_UNICODE_NORMALIZE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace quire {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// `text` is valid UTF-8. With Unicode 9's data, as the `tokenizers` package has it: a character
// assigned later stays as it is and stops composition. O(n log n) at worst.
std::string Normalize(NormalForm form, absl::string_view text);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_UNICODE_NORMALIZE_H_
