#include "client/cli/error_line.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/call_status.h"
#include "client/cli/commands.h"

namespace quire::cli {

std::string ErrorLine(const absl::Status& status) {
  std::string line = absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                                  absl::StrReplaceAll(status.message(), {{"\r", ""}, {"\n", " "}}));
  if (const auto delay = RetryDelay(status)) {
    absl::StrAppend(&line, "; try again in ", absl::ToDoubleSeconds(*delay), " s");
  }
  return line;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "quire: %s\n", ErrorLine(status).c_str());
  return kExitFailed;
}

}  // namespace quire::cli
