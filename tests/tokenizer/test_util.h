// What the tests of the tokenizer share.
#ifndef QUIRE_TESTS_TOKENIZER_TEST_UTIL_H_
#define QUIRE_TESTS_TOKENIZER_TEST_UTIL_H_

#include <fstream>
#include <sstream>
#include <string>

#include "core/check.h"

namespace quire {

inline std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  QUIRE_CHECK(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace quire

#endif  // QUIRE_TESTS_TOKENIZER_TEST_UTIL_H_
