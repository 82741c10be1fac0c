// Oracle outputs of a demo checkpoint: models/<name>/golden.json.
#ifndef QUIRE_TESTS_TESTING_GOLDEN_H_
#define QUIRE_TESTS_TESTING_GOLDEN_H_

#include <cstdint>
#include <string>
#include <vector>

namespace quire::testing {

struct GoldenTop {
  int step = 0;  // of the generated token that these are about
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
};

struct GoldenPrompt {
  std::string name;
  std::string text;
  std::vector<int32_t> ids;
  std::vector<int32_t> greedy_ids;  // end tokens ignored
  std::string greedy_text;
  std::vector<float> greedy_gaps;  // log-probability of the first minus the second choice
  std::vector<GoldenTop> top;
};

struct Golden {
  std::vector<GoldenPrompt> prompts;
  double heldout_perplexity = 0;  // windows of 512 tokens
  int64_t heldout_predictions = 0;
};

// CHECKs that the file is there and whole.
Golden ReadGolden(const std::string& model_directory);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_GOLDEN_H_
