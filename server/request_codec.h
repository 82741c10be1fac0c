// GenerateRequest -> Request: the wire form stops here. Checks every field against its range.
#ifndef QUIRE_SERVER_REQUEST_CODEC_H_
#define QUIRE_SERVER_REQUEST_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/model_config.h"
#include "quire/v1/generation.pb.h"
#include "scheduler/request.h"
#include "server/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace quire {

// What the server itself does with a request's tokens, apart from the engine.
struct ResponseOptions {
  bool text = true;
  bool token_ids = false;
  bool logprobs = false;
  bool prompt_logprobs = false;
  bool echo_prompt = false;
  std::string prompt_text;  // with echo_prompt
  std::vector<std::string> stop_strings;
  bool include_stop_string = false;
  int64_t min_new_tokens = 0;
};

struct DecodedRequest {
  Request request;
  ResponseOptions response;
};

// What decoding needs to know of the model. `tokenizer` is null where the checkpoint has none.
struct CodecContext {
  const ModelConfig* model = nullptr;
  const Tokenizer* tokenizer = nullptr;
  // Null, or why there is none.
  const absl::StatusOr<std::unique_ptr<const ChatTemplate>>* chat_template = nullptr;
};

// The text of a chat, for the tokenizer without special tokens of its own: the template has written
// them. FAILED_PRECONDITION where the model has no tokenizer or no template that can be used.
absl::StatusOr<std::string> RenderChat(const v1::Chat& chat, const CodecContext& context);
// The bytes of text that decoding goes through.
size_t TextBytes(const v1::GenerateRequest& wire);

// Decodes and tokenises: takes time in proportion to the text. INVALID_ARGUMENT names field, value
// and limit; FAILED_PRECONDITION is for what this model or build can't do. A missing seed and
// request id are drawn here.
absl::StatusOr<DecodedRequest> DecodeRequest(const v1::GenerateRequest& wire,
                                             const CodecContext& context, absl::Time deadline);

// What requests of all kinds share. CheckName: at most kMaxNameBytes. NameRequest: the id given, or
// one drawn here. EncodeText: `field` is for messages.
absl::Status CheckName(absl::string_view field, const std::string& name);
std::string NameRequest(const std::string& given, absl::string_view prefix);
absl::StatusOr<std::vector<TokenId>> EncodeText(const std::string& text,
                                                const CodecContext& context,
                                                absl::string_view field, bool add_special_tokens);

// OK, or INVALID_ARGUMENT naming the first id that the vocabulary lacks.
absl::Status CheckTokenIds(const google::protobuf::RepeatedField<uint32_t>& ids, int64_t vocab_size,
                           absl::string_view field);

// The values that unset fields stand for.
v1::GenerateRequest DefaultRequest();

}  // namespace quire

#endif  // QUIRE_SERVER_REQUEST_CODEC_H_
