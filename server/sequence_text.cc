#include "server/sequence_text.h"

#include <algorithm>
#include <utility>

namespace quire {

// The match that ends first, at min_end or later; the longest of those.
std::optional<StopMatcher::Match> StopMatcher::FirstMatch(size_t min_end) const {
  std::optional<Match> first;
  for (const std::string& stop : stop_strings_) {
    const size_t from = min_end > stop.size() ? min_end - stop.size() : 0;
    const size_t at = held_.find(stop, from);
    if (at == std::string::npos) continue;
    const size_t end = at + stop.size();
    if (!first || end < first->end || (end == first->end && at < first->begin)) {
      first = Match{.begin = at, .end = end, .text = &stop};
    }
  }
  return first;
}

// Length of the longest end of held_ that could begin a stop string.
size_t StopMatcher::HeldBack() const {
  size_t longest = 0;
  for (const std::string& stop : stop_strings_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) {
        longest = length;
        break;
      }
    }
  }
  return longest;
}

std::string StopMatcher::Append(absl::string_view text, bool can_stop) {
  if (matched_) return "";
  const size_t old_size = held_.size();
  held_.append(text.data(), text.size());
  if (can_stop && !text.empty()) {
    if (const std::optional<Match> match = FirstMatch(old_size + 1)) {
      matched_ = *match->text;
      held_.resize(include_stop_string_ ? match->end : match->begin);
      return std::exchange(held_, "");
    }
  }
  const size_t sent = held_.size() - HeldBack();
  std::string out = held_.substr(0, sent);
  held_.erase(0, sent);
  return out;
}

std::string StopMatcher::Finish() { return std::exchange(held_, ""); }

SequenceText::SequenceText(const Tokenizer* tokenizer, std::vector<std::string> stop_strings,
                           bool include_stop_string, int64_t min_new_tokens)
    : stops_(std::move(stop_strings), include_stop_string), min_new_tokens_(min_new_tokens) {
  if (tokenizer != nullptr) detokenizer_.emplace(tokenizer, /*skip_special_tokens=*/true);
}

std::string SequenceText::Append(TokenId token) {
  ++num_tokens_;
  if (!detokenizer_) return "";
  return stops_.Append(detokenizer_->Append(token), num_tokens_ > min_new_tokens_);
}

std::string SequenceText::Finish() {
  if (!detokenizer_ || stops_.matched()) return "";
  // What an unfinished character leaves may complete a stop string no more.
  std::string text = stops_.Append(detokenizer_->Finish(), /*can_stop=*/false);
  return text + stops_.Finish();
}

}  // namespace quire
