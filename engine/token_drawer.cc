#include "engine/token_drawer.h"

#include <algorithm>

#include "absl/types/span.h"
#include "core/check.h"

namespace quire {
namespace {

DeviceArray<const int32_t> Slice(DeviceArray<const int32_t> array, size_t begin, size_t end) {
  return {array.data + begin, static_cast<int64_t>(end - begin)};
}

}  // namespace

void TokenDrawer::Run(const StepBatch& batch, DeviceArray<const int32_t> logits_rows,
                      DeviceArray<const int32_t> scored_rows, Sampler& sampler,
                      StepResult& result) {
  Draw(batch, logits_rows, sampler, result);
  Score(batch, scored_rows, sampler, result);
}

void TokenDrawer::Draw(const StepBatch& batch, DeviceArray<const int32_t> rows, Sampler& sampler,
                       StepResult& result) {
  result.samples.resize(batch.samples.size());
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
    sampler.Sample(decoder_.Logits(Slice(rows, begin, end)), tile_samples_,
                   absl::MakeSpan(result.samples).subspan(first_sample, tile_samples_.size()));
    first_sample += tile_samples_.size();
  }
  QUIRE_CHECK_EQ(first_sample, batch.samples.size());
}

// A tile's rows ask for one number of likeliest tokens.
void TokenDrawer::Score(const StepBatch& batch, DeviceArray<const int32_t> rows, Sampler& sampler,
                        StepResult& result) {
  const size_t count = batch.scored_rows.size();
  result.prompt_logprobs.resize(count);
  const auto tile = static_cast<size_t>(decoder_.limits().max_logits_rows);
  for (size_t begin = 0; begin < count;) {
    size_t end = begin + 1;
    while (end < std::min(begin + tile, count) &&
           batch.scored_top[end] == batch.scored_top[begin]) {
      ++end;
    }
    sampler.Score(decoder_.Logits(Slice(rows, begin, end)),
                  absl::MakeConstSpan(batch.scored_targets).subspan(begin, end - begin),
                  batch.scored_top[begin],
                  absl::MakeSpan(result.prompt_logprobs).subspan(begin, end - begin));
    begin = end;
  }
}

}  // namespace quire
