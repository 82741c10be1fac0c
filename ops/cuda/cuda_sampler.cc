// Rows go to the device in turns: what is to be edited, drawn and scored as lists of records.
#include "ops/cuda/cuda_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "ops/cuda/launch_sampler.h"
#include "ops/cuda/penalty_rows.h"
#include "ops/cuda/sampler_args.h"
#include "ops/cuda/sampler_records.h"
#include "ops/cuda/sampler_turn.h"
#include "ops/sampling_math.h"

namespace quire {
namespace {

constexpr absl::string_view kPurpose = "workspace";

// Device memory that all slots share: the queue keeps their work in order.
struct SamplerMemory {
  DeviceBuffer counts;  // int32 [penalty_rows, V]: see EditLogitsArgs
  // Of a turn.
  DeviceBuffer edited;  // fp32 [max_edited_rows, V]
  DeviceBuffer sent;    // RecordBlock, likewise `fetched`
  DeviceBuffer fetched;
};

// Of edited logits and of counts.
int64_t RowStride(const CudaSamplerOptions& options) { return (options.vocab_size + 3) / 4 * 4; }

size_t ScoreBytes(const CudaSamplerOptions& options, int64_t rows) {
  return RecordBytes<RowScore>(rows) + RecordBytes<TopLogit>(rows * options.max_top);
}

size_t MostFetched(const CudaSamplerOptions& options) {
  return RecordBytes<int32_t>(options.max_rows) + ScoreBytes(options, options.max_rows);
}

// The sampler of one slot.
class SlotSampler : public Sampler {
 public:
  SlotSampler(DeviceQueue& queue, const CudaSamplerOptions& options, const SamplerMemory& memory,
              PenaltyRows& penalty_rows)
      : queue_(queue), options_(options), memory_(memory), turn_(options, penalty_rows) {}

  absl::Status Reserve(DeviceMemory& memory) {
    QUIRE_ASSIGN_OR_RETURN(drawn_, memory.Allocate(options_.max_draws * sizeof(int32_t), kPurpose));
    QUIRE_RETURN_IF_ERROR(
        arena_.Reserve(queue_, SamplerTurn::MaxBytes(options_) + MostFetched(options_)));
    return absl::OkStatus();
  }

  void Begin(const int32_t* drawn_before) {
    QUIRE_CHECK(reads_.empty()) << "a batch that was not collected";
    arena_.TakeBack();
    num_drawn_ = 0;
    drawn_before_ = drawn_before;
  }

  int32_t* drawn() const { return static_cast<int32_t*>(drawn_.data()); }

  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    QUIRE_CHECK_EQ(rows.size(), results.size());
    QUIRE_CHECK_EQ(logits.cols, options_.vocab_size);
    for (const SampleRow& row : rows) {
      QUIRE_CHECK(!row.pending || drawn_before_ != nullptr) << "no batch before";
    }
    while (!rows.empty()) {
      turn_.Begin();
      const size_t taken = turn_.Take(rows);
      RunDraws(logits, results.first(taken));
      rows.remove_prefix(taken);
      results.remove_prefix(taken);
    }
  }

  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    QUIRE_CHECK_EQ(targets.size(), results.size());
    QUIRE_CHECK_EQ(logits.cols, options_.vocab_size);
    const auto count = static_cast<int64_t>(targets.size());
    for (int64_t begin = 0; begin < count; begin += options_.max_rows) {
      const int64_t end = std::min(begin + options_.max_rows, count);
      turn_.Begin();
      for (int64_t i = begin; i < end; ++i) turn_.TakeScore(i, targets[i], top);
      RunScores(logits, results.subspan(begin, end - begin));
    }
  }

  // Gives the results of the work so far, which is done, to those who asked for them.
  void Collect() {
    for (const Read& read : reads_) {
      for (size_t i = 0; i < read.sampled.size(); ++i) read.sampled[i].token = read.tokens[i];
      for (int64_t i = 0; i < read.num_scores; ++i) {
        if (!read.scored.empty()) {
          ReadScore(read, i, read.scored[i]);
          continue;
        }
        SampledToken& sampled = read.sampled[read.score_rows[i].draw];
        if (sampled.token == kNoToken) continue;
        ReadScore(read, i, sampled.logprobs);
        sampled.token = sampled.logprobs.chosen.token;
      }
    }
    reads_.clear();
  }

 private:
  // What a turn's results become, and where they are on the host once its work is done.
  struct Read {
    absl::Span<SampledToken> sampled;  // or else
    absl::Span<TokenLogprobs> scored;  //
    const int32_t* tokens = nullptr;
    int64_t num_scores = 0;
    const ScoreRow* score_rows = nullptr;
    const RowScore* scores = nullptr;
    const TopLogit* top = nullptr;  // [num_scores, max_top]
  };

  // Host memory for what goes out and what comes back. Where the batch's is used up, what it has is
  // waited for.
  char* TakeHost(size_t bytes) {
    if (!arena_.HasRoomFor(bytes)) {
      queue_.Wait();
      Collect();
      arena_.TakeBack();
    }
    return arena_.Take(bytes);
  }

  struct Sent {
    DeviceArray<const DrawRow> draws;
    DeviceArray<const ScoreRow> score_rows;
    DeviceArray<const EditRow> edit_rows;
    DeviceArray<const LogitEdit> edits;
    const ScoreRow* host_score_rows = nullptr;
  };

  template <typename T>
  static DeviceArray<const T> Array(const RecordBlock::Place<T>& place,
                                    const std::vector<T>& records) {
    return {place.device, static_cast<int64_t>(records.size())};
  }

  Sent Send(char* host, size_t bytes) {
    RecordBlock block(host, memory_.sent, bytes);
    Sent sent;
    sent.draws = Array(block.Add(turn_.draws()), turn_.draws());
    const auto score_rows = block.Add(turn_.score_rows());
    sent.score_rows = Array(score_rows, turn_.score_rows());
    sent.host_score_rows = score_rows.host;
    sent.edit_rows = Array(block.Add(turn_.edit_rows()), turn_.edit_rows());
    sent.edits = Array(block.Add(turn_.edits()), turn_.edits());
    block.Send(queue_);
    return sent;
  }

  // Edits, draws and scores what is listed.
  void RunDraws(const DeviceMatrix& logits, absl::Span<SampledToken> results) {
    const auto count = static_cast<int64_t>(results.size());
    const auto num_scores = static_cast<int64_t>(turn_.score_rows().size());
    QUIRE_CHECK_LE(num_drawn_ + count, options_.max_draws);
    int32_t* const tokens = drawn() + num_drawn_;
    num_drawn_ += count;
    const size_t sent_bytes = turn_.bytes(), token_bytes = RecordBytes<int32_t>(count);
    const size_t score_bytes = num_scores > 0 ? ScoreBytes(options_, num_scores) : 0;
    char* const host = TakeHost(sent_bytes + token_bytes + score_bytes);
    const Sent sent = Send(host, sent_bytes);
    const DeviceMatrix edited{.data = memory_.edited.data(),
                              .dtype = DType::kFloat32,
                              .rows = sent.edit_rows.size,
                              .cols = options_.vocab_size,
                              .row_stride = RowStride(options_)};
    if (edited.rows > 0) {
      cuda::EditLogits(queue_, {.logits = logits,
                                .rows = sent.edit_rows,
                                .edits = sent.edits,
                                .edited = edited,
                                .counts = static_cast<int32_t*>(memory_.counts.data()),
                                .counts_stride = RowStride(options_),
                                .drawn_before = drawn_before_});
    }
    cuda::Draw(queue_, {.logits = logits, .edited = edited, .rows = sent.draws, .tokens = tokens});
    auto* const host_tokens = reinterpret_cast<int32_t*>(host + sent_bytes);
    queue_.CopyToHost(host_tokens, tokens, count * sizeof(int32_t));
    Read read{.sampled = results, .tokens = host_tokens};
    if (num_scores > 0) {
      LaunchScores(logits, sent, tokens, host + sent_bytes + token_bytes, score_bytes, read);
    }
    reads_.push_back(read);
  }

  void RunScores(const DeviceMatrix& logits, absl::Span<TokenLogprobs> results) {
    const size_t sent_bytes = turn_.bytes();
    const size_t score_bytes =
        ScoreBytes(options_, static_cast<int64_t>(turn_.score_rows().size()));
    char* const host = TakeHost(sent_bytes + score_bytes);
    const Sent sent = Send(host, sent_bytes);
    Read read{.scored = results};
    LaunchScores(logits, sent, nullptr, host + sent_bytes, score_bytes, read);
    reads_.push_back(read);
  }

  void LaunchScores(const DeviceMatrix& logits, const Sent& sent, const int32_t* tokens, char* host,
                    size_t bytes, Read& read) {
    RecordBlock block(host, memory_.fetched, bytes);
    const auto scores = block.Room<RowScore>(sent.score_rows.size);
    const auto top = block.Room<TopLogit>(sent.score_rows.size * options_.max_top);
    cuda::Score(queue_, {.logits = logits,
                         .rows = sent.score_rows,
                         .tokens = tokens,
                         .scores = scores.device,
                         .top = top.device,
                         .top_stride = options_.max_top});
    block.Fetch(queue_);
    read.num_scores = sent.score_rows.size;
    read.score_rows = sent.host_score_rows;
    read.scores = scores.host;
    read.top = top.host;
  }

  void ReadScore(const Read& read, int64_t i, TokenLogprobs& result) const {
    const RowScore& score = read.scores[i];
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
    result.top.reserve(read.score_rows[i].top);
    const TopLogit* top = read.top + i * options_.max_top;
    for (int32_t k = 0; k < score.num_top; ++k)
      result.top.push_back(scored(top[k].id, top[k].logit));
  }

  DeviceQueue& queue_;
  const CudaSamplerOptions& options_;
  const SamplerMemory& memory_;
  SamplerTurn turn_;
  DeviceBuffer drawn_;  // [max_draws]
  int64_t num_drawn_ = 0;
  const int32_t* drawn_before_ = nullptr;
  StagingArena arena_;
  std::vector<Read> reads_;
};

class CudaSamplerImpl : public CudaSampler {
 public:
  CudaSamplerImpl(DeviceQueue& queue, const CudaSamplerOptions& options)
      : queue_(queue), options_(options), penalty_rows_(options.penalty_rows, options.vocab_size) {}

  absl::Status Reserve(DeviceMemory& memory) {
    const size_t row_bytes = RowStride(options_) * sizeof(float);
    static_assert(sizeof(float) == sizeof(int32_t));
    QUIRE_ASSIGN_OR_RETURN(memory_.counts,
                           memory.Allocate(options_.penalty_rows * row_bytes, kPurpose));
    QUIRE_ASSIGN_OR_RETURN(memory_.edited,
                           memory.Allocate(options_.max_edited_rows * row_bytes, kPurpose));
    QUIRE_ASSIGN_OR_RETURN(memory_.sent,
                           memory.Allocate(SamplerTurn::MaxBytes(options_), kPurpose));
    QUIRE_ASSIGN_OR_RETURN(memory_.fetched, memory.Allocate(MostFetched(options_), kPurpose));
    for (int slot = 0; slot < options_.slots; ++slot) {
      QUIRE_RETURN_IF_ERROR(
          slots_.emplace_back(queue_, options_, memory_, penalty_rows_).Reserve(memory));
    }
    return absl::OkStatus();
  }

  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    BeginBatch(0);
    slots_[0].Sample(logits, rows, results);
    queue_.Wait();
    Collect(0);
  }
  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    BeginBatch(0);
    slots_[0].Score(logits, targets, top, results);
    queue_.Wait();
    Collect(0);
  }

  void BeginBatch(int slot) override {
    const int before = std::exchange(current_, slot);
    slots_[slot].Begin(before < 0 || before == slot ? nullptr : slots_[before].drawn());
  }
  Sampler& slot(int slot) override { return slots_[slot]; }
  void Collect(int slot) override { slots_[slot].Collect(); }
  const int32_t* drawn(int slot) const override { return slots_[slot].drawn(); }

 private:
  DeviceQueue& queue_;
  const CudaSamplerOptions options_;
  SamplerMemory memory_;
  PenaltyRows penalty_rows_;
  std::deque<SlotSampler> slots_;  // they don't move
  int current_ = -1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CudaSampler>> MakeCudaSampler(DeviceQueue& queue,
                                                             DeviceMemory& memory,
                                                             const CudaSamplerOptions& options) {
  QUIRE_CHECK(options.vocab_size > 0 && options.vocab_size <= kMaxSampledVocabulary)
      << options.vocab_size;
  QUIRE_CHECK(options.max_rows > 0 && options.max_edited_rows > 0 && options.slots > 0);
  QUIRE_CHECK_GE(options.penalty_rows, options.max_edited_rows);
  QUIRE_CHECK(options.max_top >= 0 && options.max_top <= kMaxTopLogits) << options.max_top;
  auto sampler = std::make_unique<CudaSamplerImpl>(queue, options);
  QUIRE_RETURN_IF_ERROR(sampler->Reserve(memory));
  return sampler;
}

}  // namespace quire
