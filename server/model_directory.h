// What the server itself wants to know of a checkpoint directory before anything is loaded.
#ifndef QUIRE_SERVER_MODEL_DIRECTORY_H_
#define QUIRE_SERVER_MODEL_DIRECTORY_H_

#include <string>

#include "absl/status/status.h"

namespace quire {

// OK for a directory with a config.json; else one line with what is there and what was expected.
absl::Status CheckModelDirectory(const std::string& path);

}  // namespace quire

#endif  // QUIRE_SERVER_MODEL_DIRECTORY_H_
