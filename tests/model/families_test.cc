#include "model/families.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

// The names in the first columns of the tables of architectures in docs/models.md.
std::set<std::string> Documented() {
  std::ostringstream page;
  page << std::ifstream(QUIRE_SOURCE_DIR "/docs/models.md").rdbuf();
  std::set<std::string> names;
  bool lists_architectures = false;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(page.str(), '\n'))) {
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    if (cells.size() < 4 || absl::StartsWith(cells[1], "---")) continue;
    const bool is_head = absl::StartsWith(cells[1], " architecture") || cells[1] == " model ";
    if (is_head) lists_architectures = cells[1] != " model ";
    if (is_head || !lists_architectures) continue;
    for (absl::string_view name : absl::StrSplit(cells[1], ',')) {
      names.emplace(absl::StripAsciiWhitespace(name));
    }
  }
  return names;
}

TEST(Families, AreThoseThatThePageOfModelsLists) {
  std::set<std::string> built;
  for (const auto& table : {DenseFamilies(), GemmaFamilies(), MoeFamilies(), EncoderFamilies()}) {
    for (const Family& family : table) {
      EXPECT_TRUE(built.insert(family.architecture).second) << family.architecture;
    }
  }
  EXPECT_EQ(built, Documented());
}

}  // namespace
}  // namespace quire
