#include "client/cli/request_flags.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire::cli {
namespace {

// "50256=-100"
absl::StatusOr<std::pair<uint32_t, float>> ParseLogitBias(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  std::pair<uint32_t, float> bias;
  if (!absl::SimpleAtoi(parts.first, &bias.first) ||
      !absl::SimpleAtof(parts.second, &bias.second)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no bias; write token id and number, as 42=-1.5"));
  }
  return bias;
}

CLI::Validator IsLogitBias() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseLogitBias(text).status().message()); },
      "ID=BIAS");
}

void AddPromptFlags(CLI::App& command, RequestFlags& flags) {
  AddTextFlags(command, "PROMPT", flags.prompt);
  command
      .add_option("--token-ids", flags.token_ids,
                  "Token ids as the prompt, used as they are: 1,2,3")
      ->check(IsTokenIds())
      ->type_name("IDS")
      ->excludes("PROMPT")
      ->excludes("--file");
  AddChatFlags(command, flags.chat);
  for (const char* chat : {"--chat", "--system", "--message"}) {
    command.get_option("--token-ids")->excludes(chat);
  }
  command
      .add_option("--samples", flags.params.num_sequences, "Samples of the one prompt; 1 if unset")
      ->check(CLI::Range(1, 1 << 16))
      ->type_name("N");
}

void AddStoppingFlags(CLI::App& command, RequestFlags& flags) {
  GenerateParams& params = flags.params;
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->group("Length and stopping");
  };
  add("--max-tokens,-n", params.max_new_tokens,
      "New tokens at most; as many as the context leaves if unset")
      ->type_name("N");
  add("--min-tokens", params.min_new_tokens, "Nothing ends a sample before so many tokens")
      ->type_name("N");
  add("--stop", params.stop_strings, "The text ends before this; may be repeated")
      ->check(IsUtf8())
      ->allow_extra_args(false)
      ->type_name("TEXT");
  add("--stop-token", params.stop_token_ids, "A sample ends with this token; may be repeated")
      ->allow_extra_args(false)
      ->type_name("ID");
  command.add_flag("--ignore-eos", params.ignore_eos, "The model's end tokens end nothing")
      ->group("Length and stopping");
  command
      .add_flag("--include-stop", params.include_stop_string,
                "The text then ends with the stop string")
      ->group("Length and stopping");
  add("--time-limit", flags.time_limit_seconds,
      "Seconds after which the server ends the samples and returns what there is")
      ->check(CLI::Range(0.0, 1e6))
      ->type_name("SECONDS");
}

void AddSamplingFlags(CLI::App& command, RequestFlags& flags) {
  GenerateParams& params = flags.params;
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->type_name(type)->group("Sampling");
  };
  add("--temperature,-t", params.temperature, "0 takes the likeliest token; 1 if unset", "T");
  add("--top-k", params.top_k, "Only the k likeliest tokens; 0 = off", "K");
  add("--top-p", params.top_p, "Only the likeliest tokens that together reach this; 1 if unset",
      "P");
  add("--min-p", params.min_p, "Only tokens at least this share of the likeliest one; 0 = off",
      "P");
  add("--seed", params.seed, "The same seed gives the same text; random if unset", "SEED");
  add("--repetition-penalty", params.repetition_penalty, "Over prompt and output; 1 = off", "X");
  add("--presence-penalty", params.presence_penalty, "Over output tokens, once each; 0 = off", "X");
  add("--frequency-penalty", params.frequency_penalty, "Over output tokens, each time; 0 = off",
      "X");
  add("--logit-bias", flags.logit_bias, "Added to a token's logit: 42=-1.5; may be repeated",
      "ID=BIAS")
      ->check(IsLogitBias())
      ->allow_extra_args(false);
}

void AddSchedulingFlags(CLI::App& command, RequestFlags& flags) {
  GenerateParams& params = flags.params;
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->type_name(type)->group("Scheduling");
  };
  add("--priority", params.priority, "Higher runs first; 0 if unset", "N");
  add("--tenant", params.tenant, "Tenants of equal priority share fairly", "NAME")->check(IsUtf8());
  add("--request-id", params.request_id, "Name for quire abort; made by the server if unset", "ID")
      ->check(IsUtf8());
  add("--cache-salt", params.cache_salt, "Cached prefixes are shared only under the same salt",
      "TEXT")
      ->check(IsUtf8());
  command
      .add_flag("--no-cache", params.bypass_prefix_cache,
                "Neither reads cached prefixes nor leaves any")
      ->group("Scheduling");
}

}  // namespace

void AddRequestFlags(CLI::App& command, RequestFlags& flags) {
  AddPromptFlags(command, flags);
  AddSettingFlags(command, flags);
}

void AddSettingFlags(CLI::App& command, RequestFlags& flags) {
  AddStoppingFlags(command, flags);
  AddSamplingFlags(command, flags);
  AddSchedulingFlags(command, flags);
}

GenerateParams BuildParams(const RequestFlags& flags) {
  GenerateParams params = flags.params;
  if (flags.time_limit_seconds) params.time_limit = absl::Seconds(*flags.time_limit_seconds);
  for (const std::string& text : flags.logit_bias) {
    params.logit_bias.insert(ParseLogitBias(text).value());
  }
  return params;
}

absl::StatusOr<v1::GenerateRequest> BuildRequest(const RequestFlags& flags) {
  const GenerateParams params = BuildParams(flags);
  if (flags.chat.is_chat()) {
    const absl::StatusOr<v1::Chat> chat = BuildChat(flags.chat, flags.prompt);
    if (!chat.ok()) return chat.status();
    return MakeRequest(*chat, params);
  }
  if (!flags.token_ids.empty()) return MakeRequest(ParseTokenIds(flags.token_ids).value(), params);
  const absl::StatusOr<std::string> text = ReadText(flags.prompt);
  if (!text.ok()) return text.status();
  return MakeRequest(*text, params);
}

}  // namespace quire::cli
