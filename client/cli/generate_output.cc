#include "client/cli/generate_output.h"

#include <unistd.h>

#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/json.h"

namespace quire::cli {
namespace {

void Write(const std::string& text, std::FILE* out) {
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

std::string EndingOf(const v1::GeneratedSequence& sequence) {
  const bool finished = sequence.finish_reason() != v1::FINISH_REASON_UNSPECIFIED;
  return finished ? Name(sequence.finish_reason()) : "not finished";
}

// A pipe or a file gets the text and no byte more; a terminal's prompt starts on a line of its own.
class OneText : public GenerateOutput {
 public:
  explicit OneText(std::FILE* out) : out_(out) {}

  void Add(const v1::GenerateEvent& event, const ResponseCollector& /*so_far*/) override {
    Print(event.prompt().text());
    Print(event.delta().text());
  }

  void End(const ResponseCollector& /*all*/, const absl::Status& /*status*/) override {
    if (inside_line_ && isatty(fileno(out_)) != 0) Write("\n", out_);
  }

 private:
  void Print(const std::string& text) {
    if (text.empty()) return;
    Write(text, out_);
    inside_line_ = text.back() != '\n';
  }

  std::FILE* out_;
  bool inside_line_ = false;
};

class ManyTexts : public GenerateOutput {
 public:
  ManyTexts(int num_samples, std::FILE* out) : finished_(num_samples), out_(out) {}

  void Add(const v1::GenerateEvent& event, const ResponseCollector& so_far) override {
    const size_t index = event.finished().sequence_index();
    if (!event.has_finished() || index >= finished_.size()) return;
    finished_[index] = true;
    while (printed_ < finished_.size() && finished_[printed_]) PrintNext(so_far.response());
  }

  void End(const ResponseCollector& all, const absl::Status& /*status*/) override {
    while (static_cast<int>(printed_) < all.response().sequences_size()) {
      PrintNext(all.response());
    }
  }

 private:
  void PrintNext(const v1::GenerateResponse& response) {
    if (printed_ == 0 && response.has_prompt()) PrintUnder("prompt", response.prompt().text());
    const v1::GeneratedSequence& sample = response.sequences(static_cast<int>(printed_));
    PrintUnder(absl::StrCat("sample ", printed_, ": ", EndingOf(sample)), sample.text());
    ++printed_;
  }

  void PrintUnder(const std::string& heading, const std::string& text) {
    Write(absl::StrCat("--- ", heading, " ---\n", text, absl::EndsWith(text, "\n") ? "" : "\n"),
          out_);
  }

  std::vector<bool> finished_;  // by sample
  size_t printed_ = 0;          // samples
  std::FILE* out_;
};

class WholeJson : public GenerateOutput {
 public:
  explicit WholeJson(std::FILE* out) : out_(out) {}

  void Add(const v1::GenerateEvent& /*event*/, const ResponseCollector& /*so_far*/) override {}

  void End(const ResponseCollector& all, const absl::Status& status) override {
    if (!all.started()) return;
    Json json = ToJson(all.response());
    if (!status.ok()) json["error"] = ToJson(status);
    Write(Dump(json, 2) + "\n", out_);
  }

 private:
  std::FILE* out_;
};

class JsonLines : public GenerateOutput {
 public:
  explicit JsonLines(std::FILE* out) : out_(out) {}

  void Add(const v1::GenerateEvent& event, const ResponseCollector& /*so_far*/) override {
    Write(Dump(ToJson(event)) + "\n", out_);
  }

  void End(const ResponseCollector& /*all*/, const absl::Status& /*status*/) override {}

 private:
  std::FILE* out_;
};

}  // namespace

std::unique_ptr<GenerateOutput> GenerateOutput::Make(OutputForm form, int num_samples,
                                                     std::FILE* out) {
  switch (form) {
    case OutputForm::kJson:
      return std::make_unique<WholeJson>(out);
    case OutputForm::kJsonLines:
      return std::make_unique<JsonLines>(out);
    case OutputForm::kText:
      break;
  }
  if (num_samples > 1) return std::make_unique<ManyTexts>(num_samples, out);
  return std::make_unique<OneText>(out);
}

std::string SummaryLine(const v1::GenerateResponse& response, const CallTimes& times) {
  // By what came, not by the usage, which an interrupted call does not tell.
  int64_t num_tokens = 0;
  std::map<std::string, int> endings;
  for (const v1::GeneratedSequence& sequence : response.sequences()) {
    num_tokens += sequence.token_ids_size();
    ++endings[EndingOf(sequence)];
  }
  const double total_s = absl::ToDoubleSeconds(times.total);
  std::string line = absl::StrFormat("%d tokens in %.2f s", num_tokens, total_s);
  if (num_tokens > 0 && total_s > 0) {
    absl::StrAppendFormat(&line, " (%.1f tok/s), TTFT %.3f s",
                          static_cast<double>(num_tokens) / total_s,
                          absl::ToDoubleSeconds(times.first_token));
  }
  if (response.sequences_size() == 0) line += ", not finished";
  for (const auto& [ending, count] : endings) {
    absl::StrAppend(&line, ", ", response.sequences_size() > 1 ? absl::StrCat(count, " ") : "",
                    ending);
  }
  absl::StrAppendFormat(&line, "; prompt %d tokens", response.usage().prompt_tokens());
  if (response.usage().cached_prompt_tokens() > 0) {
    absl::StrAppendFormat(&line, " (%d cached)", response.usage().cached_prompt_tokens());
  }
  absl::StrAppend(&line, ", seed ", response.seed());
  return line;
}

}  // namespace quire::cli
