// A checkpoint's chat template: messages to the text that the model was trained on.
#ifndef QUIRE_SERVER_CHAT_TEMPLATE_H_
#define QUIRE_SERVER_CHAT_TEMPLATE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "jinja/template.h"
#include "quire/v1/generation.pb.h"

namespace quire {

// Immutable and thread-safe.
class ChatTemplate {
 public:
  // The template of the checkpoint directory `model`: chat_template.jinja, else "chat_template" of
  // tokenizer_config.json, where of several the one named "default" counts. NOT_FOUND where there
  // is none; else FAILED_PRECONDITION, one line with the file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<const ChatTemplate>> Load(const std::string& model);

  // What the template makes of the messages. It has the variables that the transformers library
  // gives it: messages, add_generation_prompt, the named special tokens of tokenizer_config.json,
  // and tools and documents, which are none; `now` is what strftime_now tells. INVALID_ARGUMENT for
  // messages that are not sound or that the template refuses, in its words; OUT_OF_RANGE where they
  // take it past a limit; FAILED_PRECONDITION where it fails.
  absl::StatusOr<std::string> Render(const v1::Chat& chat, absl::Time now) const;

 private:
  ChatTemplate() = default;

  std::unique_ptr<const jinja::Template> template_;
  jinja::Variables special_tokens_;
};

// Bytes of roles and contents: what rendering and tokenising take time for.
size_t TextBytes(const v1::Chat& chat);

}  // namespace quire

#endif  // QUIRE_SERVER_CHAT_TEMPLATE_H_
