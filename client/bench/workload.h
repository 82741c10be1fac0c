// The requests of a benchmark, made before it starts.
#ifndef QUIRE_CLIENT_BENCH_WORKLOAD_H_
#define QUIRE_CLIENT_BENCH_WORKLOAD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/request.h"
#include "quire/v1/generation.pb.h"

namespace quire::bench {

struct RandomWorkload {
  int num_prompts = 0;
  uint32_t vocab_size = 0;  // token ids are below it
  int prefix_len = 0;       // the same tokens in front of every prompt
  int input_len = 0;        // random tokens after them
  int output_len = 0;
  // Lengths are drawn evenly from [len * (1 - ratio), len * (1 + ratio)], rounded inwards, at least
  // 1. In [0, 1).
  double range_ratio = 0;
  uint64_t seed = 0;
};

// The same seed gives the same requests. `common` is what they share.
std::vector<v1::GenerateRequest> MakeRandomWorkload(const RandomWorkload& workload,
                                                    const GenerateParams& common);

// The longest request that the workload can draw, prompt and output.
int64_t LongestRequest(const RandomWorkload& workload);

// Prompts from a file: each line of a .jsonl file is an object with "prompt" (text) or "token_ids",
// and maybe "max_tokens", in place of the default `output_len`; each line of any other file is a
// prompt. Empty lines are skipped. `num_prompts` of them, from the front again where the file ends;
// 0 is each once.
absl::StatusOr<std::vector<v1::GenerateRequest>> ReadDataset(const std::string& path,
                                                             int num_prompts, int output_len,
                                                             const GenerateParams& common);

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_WORKLOAD_H_
