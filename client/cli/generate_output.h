// What generate prints while events come, and at the end.
#ifndef QUIRE_CLIENT_CLI_GENERATE_OUTPUT_H_
#define QUIRE_CLIENT_CLI_GENERATE_OUTPUT_H_

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/response_collector.h"
#include "quire/v1/generation.pb.h"

namespace quire::cli {

enum class OutputForm { kText, kJson, kJsonLines };

class GenerateOutput {
 public:
  virtual ~GenerateOutput() = default;

  // `so_far` has taken the event already.
  virtual void Add(const v1::GenerateEvent& event, const ResponseCollector& so_far) = 0;
  // The call has ended; also where it failed, or the user ended it.
  virtual void End(const ResponseCollector& all, const absl::Status& status) = 0;

  // kText: one sample streams as it comes, several are printed whole and in order under headings.
  // kJson: one object at the end, if the server accepted the request: the GenerateResponse, with
  //   "error" where the call did not end well.
  // kJsonLines: each event as it comes.
  static std::unique_ptr<GenerateOutput> Make(OutputForm form, int num_samples, std::FILE* out);
};

// As the client's clock saw the call.
struct CallTimes {
  absl::Duration first_token = absl::ZeroDuration();  // zero: none came
  absl::Duration total = absl::ZeroDuration();
};

// "32 tokens in 0.71 s (45.1 tok/s), TTFT 0.123 s, MAX_TOKENS; prompt 16 tokens (8 cached), seed 7"
std::string SummaryLine(const v1::GenerateResponse& response, const CallTimes& times);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_GENERATE_OUTPUT_H_
