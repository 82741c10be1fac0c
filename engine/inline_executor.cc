#include <algorithm>
#include <utility>

#include "core/check.h"
#include "engine/executor.h"

namespace quire {
namespace {

class HostPlacement : public BatchPlacement {
 public:
  const ModelBatch& Place(const ModelBatch& batch) override { return batch; }
  DeviceArray<const int32_t> PlaceRows(absl::Span<const int32_t> rows) override {
    return {.data = rows.data(), .size = static_cast<int64_t>(rows.size())};
  }
};

class InlineExecutor : public Executor {
 public:
  InlineExecutor(Decoder& decoder, Sampler& sampler, std::unique_ptr<BatchPlacement> placement)
      : decoder_(decoder), sampler_(sampler), placement_(std::move(placement)) {}

  void Submit(const StepBatch& batch) override {
    QUIRE_CHECK(!has_result_) << "a depth of 1";
    decoder_.Forward(placement_->Place(batch.model));
    for (const PoolSpan& span : batch.pooled) {
      decoder_.SumHidden(span.first_row, span.count, span.sum);
    }
    Draw(batch);
    Score(batch);
    has_result_ = true;
  }

  const StepResult& Wait() override {
    QUIRE_CHECK(has_result_);
    has_result_ = false;
    return result_;
  }

 private:
  // Logits of rows[begin, end).
  DeviceMatrix Logits(const std::vector<int32_t>& rows, size_t begin, size_t end) {
    return decoder_.Logits(
        placement_->PlaceRows(absl::MakeConstSpan(rows).subspan(begin, end - begin)));
  }

  // Draws in tiles of as many logits rows as there is room for.
  void Draw(const StepBatch& batch) {
    result_.samples.resize(batch.samples.size());
    const auto tile = static_cast<size_t>(decoder_.limits().max_logits_rows);
    size_t first_sample = 0;
    for (size_t begin = 0; begin < batch.logits_rows.size(); begin += tile) {
      const size_t end = std::min(begin + tile, batch.logits_rows.size());
      tile_samples_.clear();
      for (size_t i = first_sample; i < batch.samples.size(); ++i) {
        if (batch.samples[i].logits_row >= static_cast<int64_t>(end)) break;
        tile_samples_.push_back(batch.samples[i]);
        tile_samples_.back().logits_row -= static_cast<int64_t>(begin);
      }
      sampler_.Sample(Logits(batch.logits_rows, begin, end), tile_samples_,
                      absl::MakeSpan(result_.samples).subspan(first_sample, tile_samples_.size()));
      first_sample += tile_samples_.size();
    }
    QUIRE_CHECK_EQ(first_sample, batch.samples.size());
  }

  // Scores prompt rows in tiles; a tile's rows ask for one number of likeliest tokens.
  void Score(const StepBatch& batch) {
    const size_t count = batch.scored_rows.size();
    result_.prompt_logprobs.resize(count);
    const auto tile = static_cast<size_t>(decoder_.limits().max_logits_rows);
    for (size_t begin = 0; begin < count;) {
      size_t end = begin + 1;
      while (end < std::min(begin + tile, count) &&
             batch.scored_top[end] == batch.scored_top[begin]) {
        ++end;
      }
      sampler_.Score(Logits(batch.scored_rows, begin, end),
                     absl::MakeConstSpan(batch.scored_targets).subspan(begin, end - begin),
                     batch.scored_top[begin],
                     absl::MakeSpan(result_.prompt_logprobs).subspan(begin, end - begin));
      begin = end;
    }
  }

  Decoder& decoder_;
  Sampler& sampler_;
  std::unique_ptr<BatchPlacement> placement_;
  std::vector<SampleRow> tile_samples_;
  StepResult result_;
  bool has_result_ = false;
};

}  // namespace

std::unique_ptr<BatchPlacement> MakeHostPlacement() { return std::make_unique<HostPlacement>(); }

std::unique_ptr<Executor> MakeInlineExecutor(Decoder& decoder, Sampler& sampler,
                                             std::unique_ptr<BatchPlacement> placement) {
  return std::make_unique<InlineExecutor>(decoder, sampler, std::move(placement));
}

}  // namespace quire
