#include "client/bench/workload.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace quire::bench {
namespace {

using Json = nlohmann::json;

struct LengthRange {  // [min, max], both taken
  int min;
  int max;
};

LengthRange RangeAround(int length, double ratio) {
  const int min = static_cast<int>(std::ceil(length * (1 - ratio)));
  const int max = static_cast<int>(std::floor(length * (1 + ratio)));
  return {std::max(min, 1), std::max(max, 1)};
}

absl::Status BadLine(const std::string& path, int line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", line, ": ", what));
}

bool IsToken(const Json& value) {
  return value.is_number_unsigned() &&
         value.get<uint64_t>() <= std::numeric_limits<uint32_t>::max();
}

absl::StatusOr<v1::GenerateRequest> FromJsonLine(const std::string& text, GenerateParams params) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("expected a JSON object");
  if (const auto max_tokens = json.find("max_tokens"); max_tokens != json.end()) {
    if (!IsToken(*max_tokens)) return absl::InvalidArgumentError("\"max_tokens\" is no count");
    params.max_new_tokens = max_tokens->get<uint32_t>();
  }
  if (const auto prompt = json.find("prompt"); prompt != json.end() && prompt->is_string()) {
    return MakeRequest(prompt->get<std::string>(), params);
  }
  const auto token_ids = json.find("token_ids");
  if (token_ids == json.end() || !token_ids->is_array() ||
      !std::all_of(token_ids->begin(), token_ids->end(), IsToken)) {
    return absl::InvalidArgumentError("expected \"prompt\", a text, or \"token_ids\", an array");
  }
  return MakeRequest(token_ids->get<std::vector<uint32_t>>(), params);
}

}  // namespace

std::vector<v1::GenerateRequest> MakeRandomWorkload(const RandomWorkload& workload,
                                                    const GenerateParams& common) {
  std::mt19937_64 random(workload.seed);
  const auto draw = [&random](LengthRange range) {
    return std::uniform_int_distribution<int>(range.min, range.max)(random);
  };
  std::uniform_int_distribution<uint32_t> token(0, workload.vocab_size - 1);
  const LengthRange input = RangeAround(workload.input_len, workload.range_ratio);
  const LengthRange output = RangeAround(workload.output_len, workload.range_ratio);
  std::vector<uint32_t> prefix(workload.prefix_len);
  std::generate(prefix.begin(), prefix.end(), [&] { return token(random); });

  std::vector<v1::GenerateRequest> requests;
  requests.reserve(workload.num_prompts);
  GenerateParams params = common;
  for (int i = 0; i < workload.num_prompts; ++i) {
    std::vector<uint32_t> prompt = prefix;
    const int num_random = draw(input);
    std::generate_n(std::back_inserter(prompt), num_random, [&] { return token(random); });
    params.max_new_tokens = static_cast<uint32_t>(draw(output));
    requests.push_back(MakeRequest(prompt, params));
  }
  return requests;
}

int64_t LongestRequest(const RandomWorkload& workload) {
  return int64_t{workload.prefix_len} + RangeAround(workload.input_len, workload.range_ratio).max +
         RangeAround(workload.output_len, workload.range_ratio).max;
}

absl::StatusOr<std::vector<v1::GenerateRequest>> ReadDataset(const std::string& path,
                                                             int num_prompts, int output_len,
                                                             const GenerateParams& common) {
  std::ifstream in(path);
  if (!in.is_open()) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const bool is_json = absl::EndsWith(path, ".jsonl");
  GenerateParams params = common;
  params.max_new_tokens = static_cast<uint32_t>(output_len);
  std::vector<v1::GenerateRequest> requests;
  const auto has_enough = [&] {
    return num_prompts > 0 && static_cast<int>(requests.size()) >= num_prompts;
  };
  std::string line;
  for (int number = 1; !has_enough() && std::getline(in, line); ++number) {
    if (line.empty()) continue;
    if (!is_json) {
      requests.push_back(MakeRequest(line, params));
      continue;
    }
    auto request = FromJsonLine(line, params);
    if (!request.ok()) return BadLine(path, number, request.status().message());
    requests.push_back(*std::move(request));
  }
  if (requests.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " has no prompts"));
  for (size_t i = 0; !has_enough() && num_prompts > 0; ++i) requests.push_back(requests[i]);
  return requests;
}

}  // namespace quire::bench
