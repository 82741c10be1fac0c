#include "bench/ops/setup.h"

#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "benchmark/benchmark.h"
#include "core/check.h"
#include "core/elements.h"

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

void FillRandom(void* data, DType dtype, int64_t count) {
  uint32_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    StoreElement(data, dtype, i, static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31F);
  }
}

}  // namespace quire::bench
