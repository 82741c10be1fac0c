// A generation request on the command line: the flags that generate and cost share.
#ifndef QUIRE_CLIENT_CLI_REQUEST_FLAGS_H_
#define QUIRE_CLIENT_CLI_REQUEST_FLAGS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/chat_flags.h"
#include "client/cli/text_input.h"
#include "client/request.h"

namespace quire::cli {

struct RequestFlags {
  GenerateParams params;
  TextFlags prompt;
  ChatFlags chat;
  // As written, before BuildRequest reads them.
  std::string token_ids;
  std::vector<std::string> logit_bias;
  std::optional<double> time_limit_seconds;
};

void AddRequestFlags(CLI::App& command, RequestFlags& flags);

// Without those of the prompt.
void AddSettingFlags(CLI::App& command, RequestFlags& flags);

// What the flags say beside the prompt.
GenerateParams BuildParams(const RequestFlags& flags);
// Reads the prompt from where the flags say.
absl::StatusOr<v1::GenerateRequest> BuildRequest(const RequestFlags& flags);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_REQUEST_FLAGS_H_
