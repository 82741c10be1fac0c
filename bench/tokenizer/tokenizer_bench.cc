// Encode and decode of English prose with each family's tokenizer of tests/golden/tokenizer.
// tools/bench_tokenizer.py runs it beside the Python package.
#include <benchmark/benchmark.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/tokenizer.h"

namespace quire {
namespace {

// Of a long prompt; the script uses the same.
constexpr size_t kTextBytes = 16 * 1024;

std::string Text() {
  std::ifstream file(QUIRE_SOURCE_DIR "/models/fairytale/heldout.txt", std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str().substr(0, kTextBytes);
}

// Families of tests/golden/tokenizer, then the files that the command names; a benchmark's argument
// indexes them and its label is one of them.
std::vector<std::string>& Names() {
  static std::vector<std::string> names = {"gpt2",    "qwen2",       "llama3",      "o200k",
                                           "cl100k",  "deepseek_v3", "deepseek_v2", "llama2",
                                           "mistral", "gemma",       "nfkc"};
  return names;
}

std::unique_ptr<const Tokenizer> Load(benchmark::State& state) {
  const std::string& name = Names()[state.range(0)];
  state.SetLabel(name);
  auto tokenizer = Tokenizer::FromFile(
      absl::EndsWith(name, ".json")
          ? name
          : absl::StrCat(QUIRE_SOURCE_DIR, "/tests/golden/tokenizer/", name, ".json"));
  QUIRE_CHECK(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

void BenchEncode(benchmark::State& state) {
  const auto tokenizer = Load(state);
  const std::string text = Text();
  while (state.KeepRunning()) benchmark::DoNotOptimize(tokenizer->Encode(text, true));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void BenchDecode(benchmark::State& state) {
  const auto tokenizer = Load(state);
  const std::vector<TokenId> ids = *tokenizer->Encode(Text(), true);
  while (state.KeepRunning()) benchmark::DoNotOptimize(tokenizer->Decode(ids, false));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}

// As a server decodes: token by token.
void BenchDetokenize(benchmark::State& state) {
  const auto tokenizer = Load(state);
  const std::vector<TokenId> ids = *tokenizer->Encode(Text(), true);
  while (state.KeepRunning()) {
    IncrementalDetokenizer detokenizer(tokenizer.get(), false);
    for (const TokenId id : ids) benchmark::DoNotOptimize(detokenizer.Append(id));
    benchmark::DoNotOptimize(detokenizer.Finish());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}

void BenchLoad(benchmark::State& state) {
  while (state.KeepRunning()) benchmark::DoNotOptimize(Load(state));
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  quire::Names().insert(quire::Names().end(), argv + 1, argv + argc);
  const auto last = static_cast<int64_t>(quire::Names().size()) - 1;
  benchmark::RegisterBenchmark("encode", quire::BenchEncode)->DenseRange(0, last);
  benchmark::RegisterBenchmark("decode", quire::BenchDecode)->DenseRange(0, last);
  benchmark::RegisterBenchmark("detokenize", quire::BenchDetokenize)->DenseRange(0, last);
  benchmark::RegisterBenchmark("load", quire::BenchLoad)->DenseRange(0, last);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
