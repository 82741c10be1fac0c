// Where tests find the files of the source tree.
#ifndef QUIRE_TESTS_TESTING_SOURCE_PATH_H_
#define QUIRE_TESTS_TESTING_SOURCE_PATH_H_

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace quire::testing {

// `path` is relative to the root of the tree: where it was configured, or where QUIRE_TEST_ROOT
// says that a program which was taken to another machine finds it.
inline std::string SourcePath(absl::string_view path) {
  const char* const moved = std::getenv("QUIRE_TEST_ROOT");
  return absl::StrCat(moved == nullptr ? QUIRE_SOURCE_DIR : moved, "/", path);
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_SOURCE_PATH_H_
