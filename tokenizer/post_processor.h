// The post-processor of tokenizer.json: the special tokens around a prompt.
//
// Supported: BertProcessing, ByteLevel (it only moves offsets), RobertaProcessing, Sequence,
// TemplateProcessing.
#ifndef QUIRE_TOKENIZER_POST_PROCESSOR_H_
#define QUIRE_TOKENIZER_POST_PROCESSOR_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/ids.h"
#include "tokenizer/json.h"

namespace quire {

struct PostProcessor {
  std::vector<TokenId> prefix;  // before the prompt's tokens
  std::vector<TokenId> suffix;  // behind them
};

// `id_end` is the highest id + 1: no token of the template may lie above.
absl::StatusOr<PostProcessor> ReadPostProcessor(const JsonNode& node, TokenId id_end);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_POST_PROCESSOR_H_
