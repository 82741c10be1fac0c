#include "client/cli/bench_flags.h"

#include "client/bench/metrics.h"

namespace quire::cli {
namespace {

constexpr int kMaxTokens = 1 << 30;

CLI::Validator Above0() {
  return CLI::Validator(
      [](std::string& text) {
        double value = 0;
        const bool valid = CLI::detail::lexical_cast(text, value) && value > 0;
        return valid ? std::string() : text + " is not above 0";
      },
      "");
}

CLI::Validator IsGoodput() {
  return CLI::Validator(
      [](std::string& text) { return std::string(bench::ParseGoodput({text}).status().message()); },
      "");
}

void AddLoadFlags(CLI::App& command, BenchFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->type_name(type)->group("Load");
  };
  add("--num-prompts", flags.num_prompts,
      "Requests in all; 100 if unset, or with --dataset each prompt once", "N")
      ->check(CLI::Range(1, 100'000'000));
  add("--request-rate", flags.requests_per_s,
      "Open loop: requests a second, whatever becomes of earlier ones, and latencies count from "
      "the intended arrival. inf, the default: each is sent as soon as --max-concurrency lets it, "
      "and latencies count from there",
      "RPS")
      ->check(Above0());
  add("--burstiness", flags.burstiness,
      "With --request-rate: the gaps' gamma shape. 1 is Poisson, less is burstier, inf is a "
      "constant gap",
      "SHAPE")
      ->check(Above0())
      ->capture_default_str();
  add("--max-concurrency,--concurrency", flags.max_concurrency,
      "Closed loop: requests under way at once; no limit if unset", "N")
      ->check(CLI::Range(1, 1'000'000));
  add("--connections", flags.num_connections, "Connections, which requests take in turn", "N")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add("--warmup", flags.num_warmups,
      "Requests before the measured ones: the first of them, without the prefix cache", "N")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
}

void AddRequestFlags(CLI::App& command, BenchFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help, const char* type) {
    return command.add_option(name, value, help)->type_name(type)->group("Requests");
  };
  CLI::Option* dataset = add("--dataset", flags.dataset,
                             "Prompts from a file instead of random tokens: a line each; in a "
                             ".jsonl file objects with \"prompt\" or \"token_ids\", and maybe "
                             "\"max_tokens\"",
                             "FILE")
                             ->check(CLI::ExistingFile);
  add("--input-len", flags.input_len, "Random tokens of a prompt", "N")
      ->check(CLI::Range(1, kMaxTokens))
      ->capture_default_str()
      ->excludes(dataset);
  add("--output-len", flags.output_len, "New tokens of a request", "N")
      ->check(CLI::Range(1, kMaxTokens))
      ->capture_default_str();
  add("--random-range-ratio", flags.range_ratio,
      "Both lengths vary evenly by this share up and down; 0 to below 1", "R")
      ->check(CLI::Range(0.0, 0.999999))
      ->capture_default_str()
      ->excludes(dataset);
  add("--prefix-len", flags.prefix_len,
      "Tokens in front of every prompt, the same for all, as a prefix to cache", "N")
      ->check(CLI::Range(0, kMaxTokens))
      ->capture_default_str()
      ->excludes(dataset);
  add("--seed", flags.seed, "Of prompts, lengths and arrivals", "SEED")->capture_default_str();
  add("--temperature", flags.temperature, "Of sampling; 0 takes the likeliest token", "T")
      ->capture_default_str();
  command
      .add_flag("--stop-at-eos", flags.stop_at_eos,
                "The model's end tokens end a request; without this its length is as asked")
      ->group("Requests");
  command.add_flag("--no-cache", flags.no_cache, "Neither reads cached prefixes nor leaves any")
      ->group("Requests");
}

void AddResultFlags(CLI::App& command, BenchFlags& flags) {
  CLI::Option* json =
      command
          .add_option("--json,--save-result", flags.json_file,
                      "Writes the result there, with the JSON keys of vllm bench serve")
          ->type_name("FILE")
          ->group("Result");
  command
      .add_flag("--save-detailed", flags.detailed,
                "With input_lens, output_lens, ttfts, itls, latencies, start_times, queue_times "
                "and errors of each request")
      ->needs(json)
      ->group("Result");
  command
      .add_option("--metric-percentiles", flags.percentiles,
                  "Percentiles of each latency, as 50,90,99.9; 99 if unset")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("P,...")
      ->group("Result");
  command
      .add_option("--goodput", flags.goodput,
                  "Counts the requests that keep these limits in milliseconds: ttft:200 tpot:50 "
                  "e2el:5000")
      ->check(IsGoodput())
      ->type_name("LIMIT...")
      ->group("Result");
}

}  // namespace

void AddBenchFlags(CLI::App& command, BenchFlags& flags) {
  AddLoadFlags(command, flags);
  AddRequestFlags(command, flags);
  AddResultFlags(command, flags);
  AddConnectionFlags(command, flags.connection);
}

}  // namespace quire::cli
