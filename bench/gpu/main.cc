// What a GPU makes of the kernels: see docs/performance.md.
//
//   gpu_bench [--model=DIRECTORY]... [--parts=ops,steps] [--minutes=N] [--json=FILE]
//
// A directory has a config.json; weights are random. Without one: those of bench/configs.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bench/gpu/gpu_bench.h"

namespace quire::gpu_bench {
namespace {

constexpr const char* kModels[] = {"llama-3.1-8b", "deepseek-v2-lite", "qwen3-30b-a3b", "qwen3-8b"};

struct Flags {
  BenchOptions bench;
  std::string json;
};

bool Parse(int argc, char** argv, Flags& flags) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    double minutes = 0;
    if (absl::ConsumePrefix(&flag, "--model=")) {
      flags.bench.models.emplace_back(flag);
    } else if (absl::ConsumePrefix(&flag, "--parts=")) {
      if (flag != "ops" && flag != "steps" && flag != "ops,steps") return false;
      flags.bench.ops = flag != "steps";
      flags.bench.steps = flag != "ops";
    } else if (absl::ConsumePrefix(&flag, "--json=")) {
      flags.json = std::string(flag);
    } else if (absl::ConsumePrefix(&flag, "--minutes=") && absl::SimpleAtod(flag, &minutes) &&
               minutes > 0) {
      flags.bench.time_limit = absl::Minutes(minutes);
    } else {
      return false;
    }
  }
  if (flags.bench.models.empty()) {
    for (const char* model : kModels) {
      flags.bench.models.push_back(absl::StrCat(QUIRE_SOURCE_DIR "/bench/configs/", model));
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Flags flags;
  if (!Parse(argc, argv, flags)) {
    std::cerr << "usage: gpu_bench [--model=DIRECTORY]... [--parts=ops,steps] [--minutes=N] "
                 "[--json=FILE]\n";
    return 2;
  }
  Report report(std::cout);
  const absl::Status status = RunBench(flags.bench, report);
  if (!status.ok()) std::cerr << "gpu_bench: " << status.message() << "\n";
  if (!flags.json.empty()) {
    std::ofstream file(flags.json);
    file << report.Json().dump(1) << "\n";
    if (!file.flush()) {
      std::cerr << "gpu_bench: can't write " << flags.json << "\n";
      return 1;
    }
  }
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace quire::gpu_bench

int main(int argc, char** argv) { return quire::gpu_bench::Main(argc, argv); }
