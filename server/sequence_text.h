// From the tokens of one sequence to the text that its client gets: whole characters only, and
// nothing of what a stop string may yet turn out to cut off.
#ifndef QUIRE_SERVER_SEQUENCE_TEXT_H_
#define QUIRE_SERVER_SEQUENCE_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/tokenizer.h"

namespace quire {

// The first stop string to be complete, as if the text came byte by byte: where tokens begin and
// end makes no difference. Where two end together, the longer one.
class StopMatcher {
 public:
  StopMatcher(std::vector<std::string> stop_strings, bool include_stop_string)
      : stop_strings_(std::move(stop_strings)), include_stop_string_(include_stop_string) {}

  // Adds text and returns what can be sent. Text added with `can_stop` false completes no match.
  // After a match: nothing.
  std::string Append(absl::string_view text, bool can_stop);
  // The sequence ended for another reason: what was held back.
  std::string Finish();

  // The stop string that ended the text, once there is one.
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  struct Match {
    size_t begin = 0;
    size_t end = 0;
    const std::string* text = nullptr;
  };
  std::optional<Match> FirstMatch(size_t min_end) const;
  size_t HeldBack() const;

  std::vector<std::string> stop_strings_;
  bool include_stop_string_;
  std::string held_;  // not sent yet: its end may be the start of a stop string
  std::optional<std::string> matched_;
};

// Without a tokenizer: no text, ever.
class SequenceText {
 public:
  SequenceText(const Tokenizer* tokenizer, std::vector<std::string> stop_strings,
               bool include_stop_string, int64_t min_new_tokens);

  // Adds a token and returns the text that it lets go.
  std::string Append(TokenId token);
  // Counts a token that ends the sequence: it gives no text.
  void CountEnd() { ++num_tokens_; }
  std::string Finish();

  int64_t num_tokens() const { return num_tokens_; }
  // Set by the token that completes a stop string: the sequence ends with it.
  const std::optional<std::string>& stopped_by() const { return stops_.matched(); }

 private:
  std::optional<IncrementalDetokenizer> detokenizer_;
  StopMatcher stops_;
  int64_t min_new_tokens_;
  int64_t num_tokens_ = 0;
};

}  // namespace quire

#endif  // QUIRE_SERVER_SEQUENCE_TEXT_H_
