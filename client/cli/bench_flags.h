// The flags of quire bench, named as those of `vllm bench serve` where it has the same.
#ifndef QUIRE_CLIENT_CLI_BENCH_FLAGS_H_
#define QUIRE_CLIENT_CLI_BENCH_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "client/cli/connection_flags.h"

namespace quire::cli {

struct BenchFlags {
  ConnectionFlags connection;

  // Load.
  int num_prompts = 0;  // 0: 100 random ones, or each of the dataset's once
  double requests_per_s = std::numeric_limits<double>::infinity();
  double burstiness = 1;
  int max_concurrency = 0;  // 0 = no limit
  int num_connections = 4;
  int num_warmups = 0;

  // Requests.
  int input_len = 128;
  int output_len = 128;
  double range_ratio = 0;
  int prefix_len = 0;
  std::string dataset;
  uint64_t seed = 0;
  float temperature = 0;
  bool stop_at_eos = false;
  bool no_cache = false;

  // Result.
  std::string json_file;
  bool detailed = false;
  std::vector<double> percentiles = {99};
  std::vector<std::string> goodput;
};

void AddBenchFlags(CLI::App& command, BenchFlags& flags);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_BENCH_FLAGS_H_
