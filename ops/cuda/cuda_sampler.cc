// Rows go to the device in tiles: what is to be edited, drawn and scored as lists of records, of
// which each has a host and a device side of fixed capacity.
#include "ops/cuda/cuda_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/check.h"
#include "ops/cuda/launch_sampler.h"
#include "ops/cuda/sampler_args.h"
#include "ops/logit_edits.h"
#include "ops/sampling_math.h"

namespace quire {
namespace {

constexpr absl::string_view kPurpose = "sampler";

// A list of up to `capacity` records that goes to the device or comes from there.
template <typename T>
class Records {
 public:
  absl::Status Reserve(DeviceMemory& memory, int64_t capacity) {
    auto buffer = memory.Allocate(capacity * sizeof(T), kPurpose);
    if (!buffer.ok()) return buffer.status();
    buffer_ = *std::move(buffer);
    capacity_ = capacity;
    host_.reserve(capacity);
    return absl::OkStatus();
  }

  std::vector<T>& host() { return host_; }
  T* device() const { return static_cast<T*>(buffer_.data()); }
  int64_t size() const { return static_cast<int64_t>(host_.size()); }
  int64_t capacity() const { return capacity_; }
  DeviceArray<const T> array() const { return {device(), size()}; }

  void Send(DeviceQueue& queue) {
    queue.CopyToDevice(buffer_.data(), host_.data(), host_.size() * sizeof(T));
  }
  // The first `size`, there once the queue has been waited for.
  void Fetch(DeviceQueue& queue, int64_t size) {
    host_.resize(size);
    queue.CopyToHost(host_.data(), buffer_.data(), size * sizeof(T));
  }

 private:
  DeviceBuffer buffer_;
  int64_t capacity_ = 0;
  std::vector<T> host_;
};

class CudaSampler : public Sampler {
 public:
  CudaSampler(DeviceQueue& queue, const CudaSamplerOptions& options)
      : queue_(queue), options_(options), counts_(options.vocab_size) {}

  absl::Status Reserve(DeviceMemory& memory) {
    const int64_t rows = options_.max_rows;
    const int64_t least_edits = 3 * options_.vocab_size;
    const auto edited_bytes =
        static_cast<size_t>(options_.max_edited_rows * EditedStride()) * sizeof(float);
    auto edited = memory.Allocate(edited_bytes, kPurpose);
    if (!edited.ok()) return edited.status();
    edited_ = *std::move(edited);
    for (const absl::Status& status :
         {edit_rows_.Reserve(memory, options_.max_edited_rows),
          edits_.Reserve(memory, std::max(options_.max_edits, least_edits)),
          draws_.Reserve(memory, rows), tokens_.Reserve(memory, rows),
          score_rows_.Reserve(memory, rows), scores_.Reserve(memory, rows),
          top_.Reserve(memory, rows * std::max(options_.max_top, 1))}) {
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    QUIRE_CHECK_EQ(rows.size(), results.size());
    QUIRE_CHECK_EQ(logits.cols, options_.vocab_size);
    while (!rows.empty()) {
      const size_t taken = TakeTile(rows);
      DrawTile(logits);
      ReadTile(rows.first(taken), results.first(taken));
      rows.remove_prefix(taken);
      results.remove_prefix(taken);
    }
  }

  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    QUIRE_CHECK_EQ(targets.size(), results.size());
    QUIRE_CHECK_EQ(logits.cols, options_.vocab_size);
    const auto count = static_cast<int64_t>(targets.size());
    for (int64_t begin = 0; begin < count; begin += score_rows_.capacity()) {
      const int64_t end = std::min(begin + score_rows_.capacity(), count);
      score_rows_.host().clear();
      for (int64_t i = begin; i < end; ++i) {
        QUIRE_CHECK(targets[i] >= 0 && targets[i] < options_.vocab_size) << targets[i];
        score_rows_.host().push_back({.row = i, .token = targets[i], .top = CheckedTop(top)});
      }
      LaunchScores(logits);
      queue_.Wait();
      for (int64_t i = begin; i < end; ++i) ReadScore(i - begin, results[i]);
    }
  }

 private:
  int64_t EditedStride() const { return (options_.vocab_size + 3) / 4 * 4; }

  int32_t CheckedTop(int32_t top) const {
    QUIRE_CHECK(top >= 0 && top <= options_.max_top) << top << " of " << options_.max_top;
    return top;
  }

  // Lists as many of the first rows as there is room for, and returns their number.
  size_t TakeTile(absl::Span<const SampleRow> rows) {
    edit_rows_.host().clear();
    edits_.host().clear();
    draws_.host().clear();
    score_rows_.host().clear();
    size_t taken = 0;
    while (taken < rows.size() && draws_.size() < draws_.capacity() && HasRoomFor(rows[taken])) {
      TakeRow(rows[taken++]);
    }
    QUIRE_CHECK_GT(taken, 0U);
    return taken;
  }

  bool HasRoomFor(const SampleRow& row) const {
    if (!EditsLogits(row)) return true;
    const size_t vocab = counts_.size();
    size_t most = row.params->logit_bias.size() + std::min(row.banned.size(), vocab);
    if (row.params->HasPenalties()) most += std::min(row.prompt.size() + row.output.size(), vocab);
    return edit_rows_.size() < edit_rows_.capacity() &&
           edits_.size() + static_cast<int64_t>(most) <= edits_.capacity();
  }

  void TakeRow(const SampleRow& row) {
    const SamplingParams& params = *row.params;
    const bool is_edited = EditsLogits(row);
    const bool is_greedy = params.temperature == 0;
    const auto draw = static_cast<int32_t>(draws_.size());
    draws_.host().push_back(
        {.row = is_edited ? edit_rows_.size() : row.logits_row,
         .is_edited = is_edited ? 1 : 0,
         .top_k = params.top_k < options_.vocab_size ? params.top_k : 0,
         .scale = is_greedy ? 0.0F : TemperatureScale(params.temperature),
         .top_p = params.top_p,
         .min_weight = MinWeight(params.min_p),
         .random_bits = RandomBits(params.seed, row.sequence_index, row.output_position)});
    if (is_edited) TakeEdits(row);
    if (row.top_logprobs) {
      score_rows_.host().push_back(
          {.row = row.logits_row, .draw = draw, .top = CheckedTop(*row.top_logprobs)});
    }
  }

  void TakeEdits(const SampleRow& row) {
    const SamplingParams& params = *row.params;
    EditRow edit_row{.logits_row = row.logits_row,
                     .first_edit = static_cast<int32_t>(edits_.size()),
                     .repetition_penalty = params.repetition_penalty,
                     .frequency_penalty = params.frequency_penalty,
                     .presence_penalty = params.presence_penalty};
    for (const auto& [id, bias] : params.logit_bias) Edit(id, bias, edit_row.num_biases);
    QUIRE_CHECK_LE(row.banned.size(), counts_.size());
    for (TokenId id : row.banned) Edit(id, 0.0F, edit_row.num_bans);
    ForEachPenalised(row, absl::MakeSpan(counts_), [&](TokenId id, int32_t count) {
      Edit(id, static_cast<float>(count), edit_row.num_penalties);
    });
    edit_rows_.host().push_back(edit_row);
  }
  void Edit(TokenId id, float value, int32_t& count) {
    edits_.host().push_back({.id = id, .value = value});
    ++count;
  }

  // Edits, draws and scores what is listed.
  void DrawTile(const DeviceMatrix& logits) {
    const DeviceMatrix edited{.data = edited_.data(),
                              .dtype = DType::kFloat32,
                              .rows = edit_rows_.size(),
                              .cols = options_.vocab_size,
                              .row_stride = EditedStride()};
    if (edit_rows_.size() > 0) {
      edit_rows_.Send(queue_);
      edits_.Send(queue_);
      cuda::EditLogits(queue_, {.logits = logits,
                                .rows = edit_rows_.array(),
                                .edits = edits_.array(),
                                .edited = edited});
    }
    draws_.Send(queue_);
    cuda::Draw(
        queue_,
        {.logits = logits, .edited = edited, .rows = draws_.array(), .tokens = tokens_.device()});
    tokens_.Fetch(queue_, draws_.size());
    if (score_rows_.size() > 0) LaunchScores(logits);
    queue_.Wait();
  }

  void LaunchScores(const DeviceMatrix& logits) {
    const int64_t count = score_rows_.size();
    score_rows_.Send(queue_);
    cuda::Score(queue_, {.logits = logits,
                         .rows = score_rows_.array(),
                         .tokens = tokens_.device(),
                         .scores = scores_.device(),
                         .top = top_.device(),
                         .top_stride = options_.max_top});
    scores_.Fetch(queue_, count);
    top_.Fetch(queue_, count * options_.max_top);
  }

  void ReadTile(absl::Span<const SampleRow> rows, absl::Span<SampledToken> results) {
    int64_t score = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      results[i].token = tokens_.host()[i];
      if (!rows[i].top_logprobs) continue;
      if (results[i].token != kNoToken) {
        ReadScore(score, results[i].logprobs);
        results[i].token = results[i].logprobs.chosen.token;
      }
      ++score;
    }
  }

  void ReadScore(int64_t i, TokenLogprobs& result) {
    const RowScore& score = scores_.host()[i];
    result.top.clear();
    result.chosen = {.token = kNoToken};
    if (score.token == kNoToken) return;
    const double log_sum =
        static_cast<double>(score.max) +
        std::log(static_cast<double>(score.total) / static_cast<double>(kUnitWeight));
    const auto scored = [&](TokenId id, float logit) {
      if (std::isnan(logit)) logit = -std::numeric_limits<float>::infinity();
      return TokenLogprob{.token = id, .logprob = static_cast<float>(logit - log_sum)};
    };
    result.chosen = scored(score.token, score.logit);
    result.top.reserve(score_rows_.host()[i].top);
    const TopLogit* top = top_.host().data() + i * options_.max_top;
    for (int32_t k = 0; k < score.num_top; ++k)
      result.top.push_back(scored(top[k].id, top[k].logit));
  }

  DeviceQueue& queue_;
  const CudaSamplerOptions options_;
  std::vector<int32_t> counts_;  // [V], all zero between uses
  DeviceBuffer edited_;          // fp32 [max_edited_rows, V]
  Records<EditRow> edit_rows_;
  Records<LogitEdit> edits_;
  Records<DrawRow> draws_;
  Records<int32_t> tokens_;  // of the draws
  Records<ScoreRow> score_rows_;
  Records<RowScore> scores_;
  Records<TopLogit> top_;  // [scores, max_top]
};

}  // namespace

absl::StatusOr<std::unique_ptr<Sampler>> MakeCudaSampler(DeviceQueue& queue, DeviceMemory& memory,
                                                         const CudaSamplerOptions& options) {
  QUIRE_CHECK(options.vocab_size > 0 && options.vocab_size <= kMaxSampledVocabulary)
      << options.vocab_size;
  QUIRE_CHECK(options.max_rows > 0 && options.max_edited_rows > 0);
  QUIRE_CHECK(options.max_top >= 0 && options.max_top <= kMaxTopLogits) << options.max_top;
  auto sampler = std::make_unique<CudaSampler>(queue, options);
  if (absl::Status status = sampler->Reserve(memory); !status.ok()) return status;
  return sampler;
}

}  // namespace quire
