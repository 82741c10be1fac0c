// Encode and decode of English prose with each family's tokenizer of tests/golden/tokenizer.
// tools/bench_tokenizer.py runs it beside the Python package.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

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

std::unique_ptr<const Tokenizer> Load(const std::string& path) {
  auto tokenizer = Tokenizer::FromFile(path);
  QUIRE_CHECK(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

void BenchEncode(benchmark::State& state, const std::string& path) {
  const auto tokenizer = Load(path);
  const std::string text = Text();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->Encode(text, true));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void BenchDecode(benchmark::State& state, const std::string& path) {
  const auto tokenizer = Load(path);
  const std::vector<TokenId> ids = *tokenizer->Encode(Text(), true);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->Decode(ids, false));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}

// As a server decodes: token by token.
void BenchDetokenize(benchmark::State& state, const std::string& path) {
  const auto tokenizer = Load(path);
  const std::vector<TokenId> ids = *tokenizer->Encode(Text(), true);
  for (auto _ : state) {
    IncrementalDetokenizer detokenizer(tokenizer.get(), false);
    for (const TokenId id : ids) benchmark::DoNotOptimize(detokenizer.Append(id));
    benchmark::DoNotOptimize(detokenizer.Finish());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}

void BenchLoad(benchmark::State& state, const std::string& path) {
  for (auto _ : state) benchmark::DoNotOptimize(Load(path));
}

void Register(const std::string& name, const std::string& path) {
  const auto add = [&](const char* what, void (*run)(benchmark::State&, const std::string&)) {
    benchmark::RegisterBenchmark(absl::StrCat(what, "/", name).c_str(),
                                 [=](benchmark::State& state) { run(state, path); });
  };
  add("encode", BenchEncode);
  add("decode", BenchDecode);
  add("detokenize", BenchDetokenize);
  add("load", BenchLoad);
}

}  // namespace
}  // namespace quire

// Arguments besides the benchmark library's are further tokenizer.json files.
int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const char* family : {"gpt2", "qwen2", "llama3", "o200k", "cl100k", "deepseek_v3",
                             "deepseek_v2", "llama2", "mistral", "gemma", "nfkc"}) {
    quire::Register(family,
                    absl::StrCat(QUIRE_SOURCE_DIR, "/tests/golden/tokenizer/", family, ".json"));
  }
  for (int i = 1; i < argc; ++i) quire::Register(argv[i], argv[i]);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
