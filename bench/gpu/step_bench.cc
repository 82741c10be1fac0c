#include "bench/gpu/step_bench.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "core/steady_time.h"
#include "engine/load_model.h"
#include "model/weights.h"

namespace quire::gpu_bench {
namespace {

constexpr double kActBytes = 2;
constexpr int64_t kWarmUpSteps = 8;
// A stream that nobody reads stalls beyond it.
constexpr int64_t kMostUnread = static_cast<int64_t>(TokenStream::kMaxWaitingEvents) - 1;

// A request, and when its tokens came.
class Stream {
 public:
  Stream(Engine& engine, Request request) : engine_(engine) {
    auto submitted =
        engine.Submit(std::make_shared<const Request>(std::move(request)), [signal = signal_] {
          const std::lock_guard<std::mutex> lock(signal->mutex);
          signal->ready = true;
          signal->changed.notify_all();
        });
    QUIRE_CHECK(submitted.ok()) << submitted.status();
    submission_ = *std::move(submitted);
  }
  ~Stream() { engine_.Cancel(submission_.key); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Until it has so many tokens or has ended.
  void AwaitTokens(size_t count) {
    while (!ended_ && times_.size() < count) {
      {
        std::unique_lock<std::mutex> lock(signal_->mutex);
        signal_->changed.wait(lock, [&] { return signal_->ready; });
        signal_->ready = false;
      }
      const absl::Time now = SteadyNow();
      const std::vector<TokenEvent> events = submission_.stream->Take();
      // Those that are read late lie evenly between.
      const absl::Time before = times_.empty() ? now : times_.back();
      const auto count = static_cast<int64_t>(events.size());
      int64_t read = 0;
      for (const TokenEvent& event : events) {
        ++read;
        if (event.token) times_.push_back(before + (now - before) * read / count);
        if (!event.finish) continue;
        ended_ = true;
        QUIRE_CHECK(event.finish->reason == FinishReason::kMaxTokens) << event.finish->status;
      }
    }
  }
  const std::vector<absl::Time>& times() const { return times_; }

 private:
  // Shared with the engine's callback, which may outlive the stream.
  struct Signal {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false;
  };

  Engine& engine_;
  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  Engine::Submission submission_;
  std::vector<absl::Time> times_;
  bool ended_ = false;
};

Timing Summary(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

Request RandomRequest(const ModelConfig& config, int64_t prompt, int64_t tokens,
                      std::mt19937& random) {
  Request request;
  for (int64_t i = 0; i < prompt; ++i) {
    request.prompt.push_back(static_cast<TokenId>(random() % config.vocab_size));
  }
  request.sampling.temperature = 0;
  request.stopping.max_new_tokens = tokens;
  request.bypass_prefix_cache = true;
  return request;
}

class StepBench {
 public:
  StepBench(LoadedModel& model, const StepSizes& sizes, Report& report)
      : model_(model),
        engine_(model.engine()),
        sizes_(sizes),
        report_(report),
        kv_bytes_(static_cast<double>(model.kv_bytes_per_token())) {}

  // The last of `batch` sequences tells the steps' times: the others, whose prompts came before its
  // own, still decode when it ends.
  void Decode(int64_t batch) {
    const std::string shape = absl::StrCat("batch ", batch, " context ", sizes_.context);
    const int64_t tokens = kWarmUpSteps + sizes_.steps;
    const int64_t room = RoomTokens();
    // The others generate while prompts are computed, too.
    const int64_t prompts =
        batch * sizes_.context / std::max<int64_t>(1, sizes_.max_batch_tokens - batch) + batch / 8;
    const int64_t others = tokens + prompts + kWarmUpSteps;
    if (others > kMostUnread) return report_.LeaveOut("decode step", shape, "it takes too long");
    if (batch * (sizes_.context + others) > room) {
      return report_.LeaveOut("decode step", shape,
                              absl::StrCat("the cache has room for ", room, " tokens"));
    }
    std::vector<std::unique_ptr<Stream>> streams;
    for (int64_t i = 1; i < batch; ++i) {
      streams.push_back(std::make_unique<Stream>(
          engine_, RandomRequest(model_.config(), sizes_.context, others, random_)));
    }
    Stream probe(engine_, RandomRequest(model_.config(), sizes_.context, tokens, random_));
    probe.AwaitTokens(static_cast<size_t>(tokens) - 3);
    const int64_t running = engine_.stats().scheduler.running;
    probe.AwaitTokens(static_cast<size_t>(tokens));
    streams.clear();
    engine_.AwaitIdle(absl::InfiniteFuture());
    if (running != batch) {
      return report_.LeaveOut("decode step", shape, absl::StrCat("only ", running, " decoded"));
    }
    std::vector<double> seconds;
    for (size_t i = kWarmUpSteps; i < probe.times().size(); ++i) {
      seconds.push_back(absl::ToDoubleSeconds(probe.times()[i] - probe.times()[i - 1]));
    }
    const Timing timing = Summary(std::move(seconds));
    const double mean_context = static_cast<double>(sizes_.context + kWarmUpSteps) +
                                static_cast<double>(sizes_.steps + prompts) / 2;
    report_.Add({.op = "decode step",
                 .shape = shape,
                 .rows = batch,
                 .timing = timing,
                 .work = DecodeWork(model_.config(), batch, mean_context, kv_bytes_),
                 .tokens_per_second = static_cast<double>(batch) / timing.median});
  }

  // From Submit to the first token.
  void Prompt(int64_t tokens) {
    const std::string shape = absl::StrCat("T=", tokens);
    if (tokens + 1 > RoomTokens() || tokens + 1 > engine_.capacity_tokens()) {
      return report_.LeaveOut("prompt", shape, "the cache has no room");
    }
    std::vector<double> seconds;
    for (int i = 0; i <= sizes_.prompt_repeats; ++i) {
      Request request = RandomRequest(model_.config(), tokens, 1, random_);
      const absl::Time begin = SteadyNow();
      Stream stream(engine_, std::move(request));
      stream.AwaitTokens(1);
      if (i > 0) seconds.push_back(absl::ToDoubleSeconds(stream.times()[0] - begin));
    }
    const Timing timing = Summary(std::move(seconds));
    report_.Add({.op = "prompt",
                 .shape = shape,
                 .rows = tokens,
                 .timing = timing,
                 .work = PromptWork(model_.config(), tokens, kv_bytes_),
                 .tokens_per_second = static_cast<double>(tokens) / timing.median});
  }

 private:
  // Of all sequences, in the group that has the least.
  int64_t RoomTokens() const {
    int64_t tokens = int64_t{1} << 40;
    for (const KvGroupStats& group : engine_.stats().kv) {
      tokens = std::min(tokens, int64_t{group.num_blocks} * engine_.config().kv.block_tokens);
    }
    return tokens;
  }

  LoadedModel& model_;
  Engine& engine_;
  const StepSizes& sizes_;
  Report& report_;
  const double kv_bytes_;
  std::mt19937 random_{1};
};

// Numbers of weights in all experts that tokens choose from, and of the table of tokens.
double ExpertNumbers(const ModelConfig& config) {
  if (!config.moe) return 0;
  int64_t layers = 0;
  for (const LayerConfig& layer : config.layers) layers += layer.moe ? 1 : 0;
  return 3.0 * static_cast<double>(layers * config.moe->routing.num_experts) *
         static_cast<double>(config.moe->intermediate_size * config.hidden_size);
}

// What is read or multiplied whatever is chosen: not the table, unless it is the lm_head too.
double DenseNumbers(const ModelConfig& config) {
  const auto table = static_cast<double>(config.vocab_size * config.hidden_size);
  return static_cast<double>(CountParameters(config)) - ExpertNumbers(config) -
         (config.tie_word_embeddings ? 0 : table);
}

double ChosenShare(const ModelConfig& config) {
  if (!config.moe) return 0;
  return static_cast<double>(config.moe->routing.top_k) / config.moe->routing.num_experts;
}

// Multiplications and additions of a row with `keys` keys, in all layers, as MLA's absorbed form or
// as attention of heads.
double AttentionFlops(const ModelConfig& config, double keys, bool absorbed) {
  double dims = config.head_dim + config.value_dim;
  if (config.mla) {
    const MlaShape& shape = config.mla->shape;
    dims = absorbed ? 2 * shape.latent_dim + shape.rope_dim : shape.head_dim() + shape.value_dim;
  }
  return 2 * keys * config.num_layers * config.num_heads * dims;
}

}  // namespace

Work DecodeWork(const ModelConfig& config, int64_t batch, double mean_context,
                double kv_bytes_per_token) {
  const auto rows = static_cast<double>(batch);
  const double reached = 1 - std::pow(1 - ChosenShare(config), rows);
  const double read = DenseNumbers(config) + ExpertNumbers(config) * reached;
  const double multiplied = DenseNumbers(config) + ExpertNumbers(config) * ChosenShare(config);
  return {read * kActBytes + rows * mean_context * kv_bytes_per_token,
          rows * (2 * multiplied + AttentionFlops(config, mean_context, true))};
}

Work PromptWork(const ModelConfig& config, int64_t tokens, double kv_bytes_per_token) {
  const auto rows = static_cast<double>(tokens);
  // The lm_head has one row.
  const auto head = static_cast<double>(config.vocab_size * config.hidden_size);
  const double multiplied =
      DenseNumbers(config) - head + ExpertNumbers(config) * ChosenShare(config);
  return {(DenseNumbers(config) + ExpertNumbers(config)) * kActBytes + rows * kv_bytes_per_token,
          rows * (2 * multiplied + AttentionFlops(config, (rows + 1) / 2, false)) + 2 * head};
}

absl::Status RunSteps(const std::string& directory, const StepSizes& sizes, Report& report) {
  QUIRE_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(directory));
  LoadOptions options;
  options.model = directory;
  options.random_weights = true;
  options.dtype = DType::kBFloat16;
  options.backend.device = "cuda";
  options.backend.gpu_memory_fraction = sizes.gpu_memory_fraction;
  options.max_batch_tokens = sizes.max_batch_tokens;
  options.max_num_sequences =
      static_cast<int>(*std::max_element(sizes.batches.begin(), sizes.batches.end()));
  options.max_context = sizes.context + 2 * kMostUnread;
  for (int64_t prompt : sizes.prompts) {
    options.max_context = std::max(options.max_context, prompt + kMostUnread);
  }
  options.max_context = std::min(options.max_context, config.max_position_embeddings);
  QUIRE_ASSIGN_OR_RETURN(const std::unique_ptr<LoadedModel> model,
                         LoadedModel::Load(options, nullptr));
  StepBench bench(*model, sizes, report);
  for (int64_t batch : sizes.batches) bench.Decode(batch);
  for (int64_t prompt : sizes.prompts) bench.Prompt(prompt);
  return absl::OkStatus();
}

}  // namespace quire::gpu_bench
