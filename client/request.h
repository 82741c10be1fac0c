// Generation requests from plain values.
//
//   v1::GenerateRequest request = MakeRequest("Once upon a time", {.max_new_tokens = 64, .seed =
//   7});
//
// The server checks the values and refuses bad ones by name. For what is not here
// (constraints), set the fields of the message.
#ifndef QUIRE_CLIENT_REQUEST_H_
#define QUIRE_CLIENT_REQUEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "quire/v1/generation.pb.h"

namespace quire {

// Unset means the server's default. Meanings and ranges are those of v1::GenerateRequest.
struct GenerateParams {
  std::string request_id;
  std::optional<uint32_t> num_sequences;

  // Stopping.
  std::optional<uint32_t> max_new_tokens;
  std::optional<uint32_t> min_new_tokens;
  std::vector<std::string> stop_strings;
  std::vector<uint32_t> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop_string = false;
  std::optional<absl::Duration> time_limit;

  // Sampling.
  std::optional<float> temperature;  // 0 = greedy
  std::optional<uint32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<uint64_t> seed;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::map<uint32_t, float> logit_bias;  // by token id

  // What comes back.
  std::optional<bool> text;
  bool token_ids = false;
  std::optional<uint32_t> top_logprobs;  // 0 = of the chosen tokens only
  bool prompt_logprobs = false;
  bool echo_prompt = false;

  // Scheduling.
  int32_t priority = 0;  // higher runs first
  std::string tenant;
  std::string cache_salt;
  bool bypass_prefix_cache = false;
};

v1::GenerateRequest MakeRequest(absl::string_view text, const GenerateParams& params = {});
v1::GenerateRequest MakeRequest(absl::Span<const uint32_t> token_ids,
                                const GenerateParams& params = {});
v1::GenerateRequest MakeRequest(const v1::Chat& chat, const GenerateParams& params = {});

}  // namespace quire

#endif  // QUIRE_CLIENT_REQUEST_H_
