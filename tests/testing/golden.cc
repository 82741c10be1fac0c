#include "tests/testing/golden.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace quire::testing {

Golden ReadGolden(const std::string& model_directory) {
  std::ifstream file(model_directory + "/golden.json");
  const nlohmann::json root = nlohmann::json::parse(file);
  Golden golden;
  for (const auto& prompt : root.at("prompts")) {
    GoldenPrompt read;
    prompt.at("name").get_to(read.name);
    prompt.at("text").get_to(read.text);
    prompt.at("ids").get_to(read.ids);
    prompt.at("greedy_ids").get_to(read.greedy_ids);
    prompt.at("greedy_text").get_to(read.greedy_text);
    prompt.at("greedy_gaps").get_to(read.greedy_gaps);
    for (const auto& top : prompt.at("top5")) {
      read.top.push_back({.step = top.at("step").get<int>(),
                          .ids = top.at("ids").get<std::vector<int32_t>>(),
                          .logprobs = top.at("logprobs").get<std::vector<float>>()});
    }
    golden.prompts.push_back(std::move(read));
  }
  const auto& windows = root.at("heldout").at("window_512");
  windows.at("perplexity").get_to(golden.heldout_perplexity);
  windows.at("predictions").get_to(golden.heldout_predictions);
  return golden;
}

}  // namespace quire::testing
