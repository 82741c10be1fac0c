// The decoder of tokenizer.json: from tokens back to text, token by token.
//
// Supported: ByteLevel, ByteFallback, Fuse, Metaspace, Replace (String), Strip, WordPiece,
// Sequence. After ByteLevel or Fuse, which make one string of all tokens, only Fuse and Strip.
#ifndef QUIRE_TOKENIZER_DECODER_H_
#define QUIRE_TOKENIZER_DECODER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/json.h"

namespace quire {

// A step of decoding one stream of tokens: takes strings, hands on strings. Valid UTF-8 both.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void Push(absl::string_view token) = 0;
  // After the last Push: hands on what was held back.
  virtual void Finish() { next_->Finish(); }

  void set_next(DecodeStep* next) { next_ = next; }

 protected:
  DecodeStep* next_ = nullptr;  // borrowed
};

// How a run of byte tokens ("<0xE2>") that is not valid UTF-8 is decoded.
enum class ByteRuns {
  kWhole,      // as the package does: each byte of the run, the valid characters' too, is a U+FFFD
  kStreaming,  // each byte that is no part of a character: at most 3 bytes wait for others
};

// One stream of tokens on its way to text. Not thread-safe.
class DecodeStream {
 public:
  // The steps run in this order.
  explicit DecodeStream(std::vector<std::unique_ptr<DecodeStep>> steps);

  void Push(absl::string_view token) { steps_.front()->Push(token); }
  // The last call.
  void Finish() { steps_.front()->Finish(); }
  // The text that was complete since the last call.
  std::string Take();

 private:
  std::vector<std::unique_ptr<DecodeStep>> steps_;
  std::string* text_;  // the last step's
};

// Immutable and thread-safe.
class TokenDecoder {
 public:
  // Of the file's "decoder"; nullopt, no decoder, joins the tokens with spaces.
  static absl::StatusOr<TokenDecoder> Read(const std::optional<JsonNode>& node);
  DecodeStream NewStream(ByteRuns byte_runs) const;

 private:
  absl::Status Add(const JsonNode& node);
  absl::Status AddReplace(const JsonNode& node);
  absl::Status AddStrip(const JsonNode& node);
  absl::Status AddMetaspace(const JsonNode& node);
  absl::Status AddWordPiece(const JsonNode& node);

  std::vector<std::function<std::unique_ptr<DecodeStep>(ByteRuns)>> make_steps_;
  bool fused_ = false;  // while reading: whether all tokens are one string by now
  bool has_byte_runs_ = false;
  bool edits_byte_runs_ = false;  // a step behind ByteFallback takes a run for one token
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_DECODER_H_
