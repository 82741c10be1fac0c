// Templates with random faults: whatever they are, parsing and rendering end soon and in order.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "jinja/template.h"

namespace quire::jinja {
namespace {

#ifdef QUIRE_SANITIZED
constexpr int kRounds = 4'000;
#else
constexpr int kRounds = 40'000;
#endif

constexpr Limits kLimits{.max_steps = 50'000,
                         .max_depth = 1000,
                         .max_output_bytes = 1 << 20,
                         .max_live_bytes = 16 << 20};

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The golden templates and expressions.
std::vector<std::string> Seeds() {
  const std::string folder = std::string(QUIRE_SOURCE_DIR) + "/tests/golden/chat";
  std::vector<std::string> seeds;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() == ".jinja") seeds.push_back(ReadAll(file.path()));
  }
  std::sort(seeds.begin(), seeds.end());
  const auto expressions = nlohmann::json::parse(ReadAll(folder + "/expressions.json"));
  for (const auto& expression : expressions) seeds.push_back(expression["template"]);
  return seeds;
}

using Random = std::mt19937_64;

size_t Below(size_t bound, Random& random) {
  return bound == 0 ? 0 : static_cast<size_t>(random() % bound);
}

// Cuts at characters, so that the text stays UTF-8.
size_t CutOf(const std::string& text, Random& random) {
  size_t at = Below(text.size() + 1, random);
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) --at;
  return at;
}

std::string Part(const std::string& text, Random& random) {
  size_t begin = CutOf(text, random);
  size_t end = CutOf(text, random);
  if (begin > end) std::swap(begin, end);
  return text.substr(begin, std::min<size_t>(end - begin, 200));
}

std::string Mutate(std::string text, const std::vector<std::string>& seeds, Random& random) {
  static const std::vector<std::string>& kPieces =
      *new std::vector<std::string>{"{{",
                                    "}}",
                                    "{%",
                                    "%}",
                                    "{#",
                                    "#}",
                                    "-",
                                    "+",
                                    "|",
                                    "(",
                                    ")",
                                    "[",
                                    "]",
                                    "{",
                                    "}",
                                    "'",
                                    "\"",
                                    ".",
                                    ",",
                                    ":",
                                    "~",
                                    "*",
                                    "**",
                                    "//",
                                    "%",
                                    " if ",
                                    " else ",
                                    " in ",
                                    " is ",
                                    " not ",
                                    "\n",
                                    "{% for x in messages %}",
                                    "{% endfor %}",
                                    "{% if x %}",
                                    "{% endif %}",
                                    "{% set x = [x, x] %}",
                                    "{% set ns.x = [ns.x, ns] %}",
                                    "{% macro f(x) %}",
                                    "{% endmacro %}",
                                    "{{ f(f) }}",
                                    "9999999999",
                                    "range(99999)",
                                    "messages",
                                    "loop",
                                    "ns",
                                    "namespace()",
                                    "none",
                                    "|tojson",
                                    "|list",
                                    "|join(x)",
                                    " * 999999",
                                    "é",
                                    "🙂",
                                    "\\",
                                    "\\u12",
                                    "{% break %}",
                                    "{% raw %}",
                                    "_",
                                    "1e400",
                                    "|map('",
                                    "|sort"};
  const size_t faults = 1 + Below(4, random);
  for (size_t i = 0; i < faults; ++i) {
    const size_t at = CutOf(text, random);
    switch (Below(4, random)) {
      case 0:
        text.insert(at, kPieces[Below(kPieces.size(), random)]);
        break;
      case 1: {
        const std::string gone = Part(text, random);
        const size_t found = gone.empty() ? std::string::npos : text.find(gone);
        if (found != std::string::npos) text.erase(found, gone.size());
        break;
      }
      case 2:
        text.insert(at, Part(text, random));
        break;
      default:
        text.insert(at, Part(seeds[Below(seeds.size(), random)], random));
    }
  }
  return text;
}

TEST(TemplateFuzz, FaultsEndInAStatus) {
  const std::vector<std::string> seeds = Seeds();
  ASSERT_GE(seeds.size(), 100U);
  std::vector<Value> messages;
  for (const char* role : {"system", "user", "assistant", "user"}) {
    messages.push_back(DictOf({{"role", role}, {"content", "héllo <think>a</think> 🙂"}}));
  }
  const Variables variables = {{"messages", ListOf(std::move(messages))},
                               {"add_generation_prompt", true},
                               {"bos_token", "<s>"},
                               {"eos_token", "</s>"},
                               {"tools", Value()}};
  Random random(20250314);
  int parsed = 0;
  int rendered = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string source = Mutate(seeds[Below(seeds.size(), random)], seeds, random);
    const absl::Time start = absl::Now();
    const auto made = Template::Parse(source);
    if (!made.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << made.status() << "\n" << source;
    } else {
      ++parsed;
      const auto text = (*made)->Render(variables, absl::Now(), kLimits);
      rendered += text.ok() ? 1 : 0;
      EXPECT_LE(text.value_or("").size(), static_cast<size_t>(kLimits.max_output_bytes) * 2);
    }
    ASSERT_LT(absl::Now() - start, absl::Seconds(20)) << source;
  }
  // The faults are not so many that nothing is tested behind the parser.
  EXPECT_GT(parsed, kRounds / 10);
  EXPECT_GT(rendered, kRounds / 20);
}

}  // namespace
}  // namespace quire::jinja
