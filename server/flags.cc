#include "server/flags.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "proto/rope_scaling_text.h"
#include "server/rope_scaling_codec.h"

namespace quire {
namespace {

// "1024", "512MiB", "4GB": CLI11's own transform takes 1000s and 1024s as one.
absl::StatusOr<size_t> ParseBytes(const std::string& text) {
  size_t used = 0;
  double number = -1;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  static const std::pair<const char*, double> kUnits[] = {
      {"", 1},         {"B", 1},    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
      {"TiB", 0x1p40}, {"K", 1e3},  {"KB", 1e3},     {"M", 1e6},      {"MB", 1e6},
      {"G", 1e9},      {"GB", 1e9}, {"T", 1e12},     {"TB", 1e12},
  };
  for (const auto& [name, factor] : kUnits) {
    if (used == 0 || unit != name) continue;
    const double bytes = number * factor;
    if (!(bytes >= 1) || bytes > 0x1p60) break;
    return static_cast<size_t>(bytes);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no size; write bytes or a number with a unit, as 512MiB"));
}

CLI::Validator IsBytes() {
  return CLI::Validator(
      [](std::string& text) {
        const auto bytes = ParseBytes(text);
        return bytes.ok() ? std::string() : std::string(bytes.status().message());
      },
      "BYTES");
}

CLI::Validator IsListenAddress() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseListenAddress(text).status().message()); },
      "ADDRESS");
}

absl::StatusOr<RopeChoice> ParseRopeChoice(const std::string& text) {
  QUIRE_ASSIGN_OR_RETURN(const v1::SetRopeScalingRequest parsed, ParseRopeScaling(text));
  return DecodeRopeScaling(parsed);
}

CLI::Validator IsRopeScaling() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseRopeChoice(text).status().message()); },
      "SCALING");
}

// Raw values whose final form differs from what CLI11 reads.
struct RawFlags {
  std::string dtype = "auto";
  std::string load_format = "safetensors";
  std::string kv_cache_bytes = "auto";
  std::string rope_scaling = "model";
  std::string listen = "127.0.0.1:8100";
  std::string batch_invariance = "on";
  double stall_seconds = 30;
  double drain_seconds = 30;
};

void AddModelFlags(CLI::App& app, ServerFlags& flags, RawFlags& raw) {
  LoadOptions& load = flags.load;
  app.add_option("--model", load.model, "Checkpoint directory, as Hugging Face lays it out")
      ->required()
      ->group("Model");
  app.add_option("--dtype", raw.dtype,
                 "Type to compute and cache in; auto is the checkpoint's, but float32 for float16")
      ->check(CLI::IsMember({"auto", "bfloat16", "float32"}))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--load-format", raw.load_format,
                 "safetensors, or random: no weights are read, they come from a fixed seed; "
                 "tokenizer.json is taken where there is one")
      ->check(CLI::IsMember({"safetensors", "random"}))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--max-context", load.max_context,
                 "Tokens of prompt and output of one sequence; 0 is the model's own limit, or 2^30 "
                 "with --attention-window")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
      ->capture_default_str()
      ->group("Model");
}

void AddRopeFlag(CLI::App& app, RawFlags& raw) {
  app.add_option("--rope-scaling", raw.rope_scaling,
                 "Scales the rotary embeddings, and the context with them: linear:FACTOR, "
                 "ntk:FACTOR, dynamic:FACTOR[:ORIGINAL], yarn:FACTOR[:ORIGINAL], none, or model: "
                 "what config.json says. ORIGINAL is the context that the model was first trained "
                 "for. quire rope-scaling changes it later")
      ->check(IsRopeScaling())
      ->capture_default_str()
      ->group("Model");
}

void AddSinkFlags(CLI::App& app, AttentionSinkOptions& sinks) {
  app.add_option(
         "--attention-window", sinks.window,
         "Each row sees this many tokens back, in place of the whole sequence: text goes on "
         "without end in bounded memory. 0: as the model has it")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--attention-sinks", sinks.sinks,
                 "And besides the window the first tokens of its sequence, which keep the text "
                 "sound: 4 is usual")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str()
      ->group("Model");
}

void AddMachineFlags(CLI::App& app, ServerFlags& flags, RawFlags& raw) {
  LoadOptions& load = flags.load;
  app.add_option("--device", load.backend.device,
                 "Where the model runs; auto is the first GPU, if the build and the machine have "
                 "one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str()
      ->group("Machine");
  app.add_option("--gpu-memory-fraction", load.backend.gpu_memory_fraction,
                 "How much of a GPU's memory the server may take in all")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str()
      ->group("Machine");
  app.add_option("--batch-invariance", raw.batch_invariance,
                 "on: a request's tokens are the same, to the bit, whatever else is served. off: a "
                 "GPU may multiply prompts by what it measures to be fastest; a CPU has nothing "
                 "faster and stays as it is")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str()
      ->group("Machine");
  app.add_option("--cache-dir", load.backend.cache_dir,
                 "Directory for what --batch-invariance=off measures at start, so that the next "
                 "start need not; none: measured at each start")
      ->group("Machine");
  app.add_option("--threads", load.backend.threads,
                 "Compute threads; 0 is one for each CPU that the process may use")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group("Machine");
  app.add_option("--cpu-isa", load.backend.cpu_isa,
                 "Instructions that the CPU kernels use: auto, portable, avx2, avx512, avx512_bf16")
      ->capture_default_str()
      ->group("Machine");
  app.add_option(
         "--kv-cache-bytes", raw.kv_cache_bytes,
         "Memory of the KV cache, as 2GiB; auto is 4GiB, or less where memory is short, and "
         "on a GPU most of what the weights leave")
      ->check(CLI::IsMember({"auto"}) | IsBytes())
      ->capture_default_str()
      ->group("Machine");
  app.add_option("--block-tokens", load.block_tokens,
                 "Tokens of a KV page: 16, 32 or 64; 0 is the device's choice")
      ->check(CLI::IsMember({0, 16, 32, 64}))
      ->capture_default_str()
      ->group("Machine");
}

void AddServingFlags(CLI::App& app, ServerFlags& flags, RawFlags& raw) {
  LoadOptions& load = flags.load;
  app.add_option("--listen", raw.listen,
                 "HOST:PORT, or unix:PATH; port 0 picks a free one. Beyond loopback, put a proxy "
                 "with TLS and limits in front")
      ->check(IsListenAddress())
      ->capture_default_str()
      ->group("Serving");
  app.add_option("--max-batch-tokens", load.max_batch_tokens,
                 "Tokens computed in one step: smaller keeps streams smoother under long prompts")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str()
      ->group("Serving");
  app.add_option("--max-num-sequences", load.max_num_sequences, "Sequences that run at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group("Serving");
  app.add_option("--max-queue", load.max_queue,
                 "Requests that may wait while no slot is free; more get RESOURCE_EXHAUSTED")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str()
      ->group("Serving");
  app.add_option("--stall-seconds", raw.stall_seconds,
                 "A client that reads nothing for so long while anything waits for it loses its "
                 "request, and soon after the call")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str()
      ->group("Serving");
  app.add_option("--drain-seconds", raw.drain_seconds,
                 "After SIGTERM live requests may go on for so long")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str()
      ->group("Serving");
}

void NameEnvironment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    // Set, they would end every start.
    if (option == app.get_help_ptr() || option == app.get_version_ptr()) continue;
    std::string name = "QUIRE_";
    for (char c : option->get_lnames().front()) {
      name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    option->envname(name);
  }
}

}  // namespace

ParsedFlags ParseFlags(int argc, char** argv) {
  CLI::App app("quire-server: serves a language model over gRPC (quire.v1.GenerationService).");
  app.get_formatter()->column_width(34);
  app.set_version_flag("--version", "quire-server " QUIRE_VERSION);
  ServerFlags flags;
  RawFlags raw;
  AddModelFlags(app, flags, raw);
  AddRopeFlag(app, raw);
  AddSinkFlags(app, flags.load.sinks);
  AddMachineFlags(app, flags, raw);
  AddServingFlags(app, flags, raw);
  bool no_progress = false;
  app.add_flag("--no-progress", no_progress, "No progress bar while loading")->group("Serving");
  NameEnvironment(app);
  app.footer("Each flag can also be set in the environment: QUIRE_MAX_QUEUE for --max-queue.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return {.exit_code = app.exit(help)};
  } catch (const CLI::CallForVersion& version) {
    return {.exit_code = app.exit(version)};
  } catch (const CLI::ParseError& error) {
    // What is not known is the likelier mistake than what is missing then.
    const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
    std::cerr << "quire-server: "
              << (unknown.empty() ? error.what() : CLI::ExtrasError("", unknown).what())
              << "\nTry quire-server --help.\n";
    return {.exit_code = 1};
  }
  if (raw.dtype != "auto") flags.load.dtype = ParseDType(raw.dtype).value();
  if (raw.kv_cache_bytes != "auto") {
    flags.load.kv_cache_bytes = ParseBytes(raw.kv_cache_bytes).value();
  }
  flags.load.rope_scaling = ParseRopeChoice(raw.rope_scaling).value();
  flags.listen = ParseListenAddress(raw.listen).value();
  flags.load.backend.batch_invariance = raw.batch_invariance == "on";
  flags.load.random_weights = raw.load_format == "random";
  flags.load.stall_limit = absl::Seconds(raw.stall_seconds);
  flags.drain_limit = absl::Seconds(raw.drain_seconds);
  flags.progress_bar = !no_progress;
  if (flags.load.max_batch_tokens < flags.load.max_num_sequences) {
    std::cerr << "quire-server: --max-batch-tokens (" << flags.load.max_batch_tokens
              << ") must not be below --max-num-sequences (" << flags.load.max_num_sequences
              << "): each running sequence decodes one token a step\n";
    return {.exit_code = 1};
  }
  return {.flags = flags};
}

}  // namespace quire
