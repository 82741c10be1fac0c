// How a failure reaches the user.
#ifndef QUIRE_CLIENT_CLI_ERROR_LINE_H_
#define QUIRE_CLIENT_CLI_ERROR_LINE_H_

#include <string>

#include "absl/status/status.h"

namespace quire::cli {

// "UNAVAILABLE: the server is draining; try again in 1 s": always one line.
std::string ErrorLine(const absl::Status& status);

// Prints it on standard error after "quire: "; the exit code.
int Fail(const absl::Status& status);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_ERROR_LINE_H_
