#include "bench/ops/setup.h"

#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "benchmark/benchmark.h"
#include "core/check.h"

namespace quire::bench {

SetupFlags ParseSetupFlags(int argc, char** argv) {
  std::string isa = "auto";
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  for (int i = 1; i < argc; ++i) {
    absl::string_view arg = argv[i];
    if (absl::ConsumePrefix(&arg, "--isa=")) {
      isa = std::string(arg);
    } else {
      QUIRE_CHECK(absl::ConsumePrefix(&arg, "--threads=") && absl::SimpleAtoi(arg, &threads))
          << "unknown argument " << argv[i];
    }
  }
  const auto chosen = ChooseCpuIsa(isa);
  QUIRE_CHECK(chosen.ok()) << chosen.status();
  benchmark::AddCustomContext("isa", std::string(CpuIsaName(*chosen)));
  benchmark::AddCustomContext("threads", absl::StrCat(threads));
  return {*chosen, threads};
}

}  // namespace quire::bench
