#include "engine/batch_builder.h"

#include <algorithm>

#include "core/check.h"

namespace quire {
namespace {

template <typename T>
DeviceArray<const T> View(const std::vector<T>& values) {
  return {.data = values.data(), .size = static_cast<int64_t>(values.size())};
}

}  // namespace

BatchBuilder::BatchBuilder(const KvManager& kv, int depth, const RopeRowLayout& rope_rows,
                           int position_offset)
    : kv_(kv), rope_rows_(rope_rows), position_offset_(position_offset), ring_(depth) {
  for (Staging& staging : ring_) {
    staging.groups.resize(kv.num_groups());
    staging.batch.model.groups.resize(kv.num_groups());
    staging.batch.model.copies.resize(kv.num_groups());
  }
}

const StepBatch& BatchBuilder::Build(const StepPlan& plan) {
  Staging& staging = ring_[next_];
  next_ = (next_ + 1) % ring_.size();
  staging.token_ids.clear();
  staging.positions.clear();
  staging.position_rows.clear();
  staging.rope_rows.clear();
  staging.rope_rows2.clear();
  staging.step_rows = 0;
  staging.batch.token_sources.clear();
  staging.batch.model.rope_spans.clear();
  staging.query_start.assign(1, 0);
  staging.kv_len.clear();
  for (Staging::Group& group : staging.groups) {
    group.slots.clear();
    group.table_start.assign(1, 0);
    group.first_block.clear();
    group.blocks.clear();
    group.prefix_start.assign(1, 0);
    group.prefix_blocks.clear();
  }
  for (const PlanEntry& entry : plan.entries) PackEntry(entry, staging);

  StepBatch& batch = staging.batch;
  if (!batch.token_sources.empty()) batch.token_sources.resize(staging.token_ids.size(), -1);
  batch.model.num_rows = plan.num_rows;
  batch.model.num_generated_rows = plan.num_generated_rows;
  batch.model.token_ids = View(staging.token_ids);
  batch.model.position_rows = View(staging.position_rows);
  batch.model.query_start = View(staging.query_start);
  batch.model.rope_rows = View(staging.rope_rows);
  for (int group = 0; group < kv_.num_groups(); ++group) {
    const Staging::Group& arrays = staging.groups[group];
    batch.model.groups[group] = {.query_start = View(staging.query_start),
                                 .kv_len = View(staging.kv_len),
                                 .positions = View(staging.positions),
                                 .rope_rows = View(staging.rope_rows),
                                 .slots = View(arrays.slots),
                                 .table_start = View(arrays.table_start),
                                 .first_block = View(arrays.first_block),
                                 .blocks = View(arrays.blocks),
                                 .prefix_start = View(arrays.prefix_start),
                                 .prefix_blocks = View(arrays.prefix_blocks),
                                 .rope_rows2 = View(staging.rope_rows2)};
    batch.model.copies[group].clear();
  }
  for (const PageCopy& copy : plan.copies) {
    batch.model.copies[copy.group].emplace_back(copy.source, copy.target);
  }
  PackSamples(plan, batch);
  if (ring_.size() > 1) RememberDraws(plan);
  return batch;
}

void BatchBuilder::RememberDraws(const StepPlan& plan) {
  draws_.clear();
  for (size_t i = 0; i < plan.samples.size(); ++i) {
    draws_[plan.samples[i].sequence] = {plan.samples[i].position, static_cast<int32_t>(i)};
  }
}

int32_t BatchBuilder::DrawOf(const Sequence& sequence, int64_t position) const {
  const auto found = draws_.find(&sequence);
  QUIRE_CHECK(found != draws_.end() && found->second.position == position)
      << "position " << position << " of " << sequence.num_tokens() << " tokens";
  return found->second.index;
}

// The rows that hold the angles of the entry's positions, where need be among those that the step
// computes.
void BatchBuilder::PackRopeRows(const PlanEntry& entry, Staging& staging) const {
  const SequenceRope& rope = entry.sequence->rope;
  int64_t first = rope_rows_.FirstRow(rope, entry.end);
  if (first < 0) first = TakeStepRows(rope, entry.begin, entry.end, staging) - entry.begin;
  for (int64_t position = entry.begin; position < entry.end; ++position) {
    staging.rope_rows.push_back(static_cast<int32_t>(first + position));
  }
  if (rope_rows_.seen_positions > 0) PackStreamedRows(entry, first, staging);
}

// The angles by which the sinks are seen: as if the sequence ended where the window does.
void BatchBuilder::PackStreamedRows(const PlanEntry& entry, int64_t first_row,
                                    Staging& staging) const {
  const SequenceRope& rope = entry.sequence->rope;
  const int64_t last = rope_rows_.seen_positions - 1 - rope_rows_.first_position;
  int64_t last_row = first_row + last;
  if (entry.end - 1 > last) {
    const int64_t first = rope_rows_.FirstRow(rope, last + 1);
    last_row = first < 0 ? TakeStepRows(rope, last, last + 1, staging) : first + last;
  }
  for (int64_t position = entry.begin; position < entry.end; ++position) {
    const int64_t row = position < last ? first_row + position : last_row;
    staging.rope_rows2.push_back(static_cast<int32_t>(row));
  }
}

int64_t BatchBuilder::TakeStepRows(const SequenceRope& rope, int64_t begin, int64_t end,
                                   Staging& staging) const {
  const int64_t row = rope_rows_.first_step_row() + staging.step_rows;
  staging.batch.model.rope_spans.push_back({.first_row = row,
                                            .count = end - begin,
                                            .first_position = rope_rows_.first_position + begin,
                                            .rope = rope});
  staging.step_rows += end - begin;
  QUIRE_CHECK_LE(staging.step_rows, rope_rows_.step_rows);
  return row;
}

void BatchBuilder::PackEntry(const PlanEntry& entry, Staging& staging) const {
  const Sequence& sequence = *entry.sequence;
  const int block_tokens = kv_.config().block_tokens;
  for (int64_t position = entry.begin; position < entry.end; ++position) {
    const bool is_known = position < sequence.num_tokens();
    if (!is_known) {
      staging.batch.token_sources.resize(staging.token_ids.size(), -1);
      staging.batch.token_sources.push_back(DrawOf(sequence, position));
    }
    staging.token_ids.push_back(is_known ? sequence.token(position) : TokenId{0});
    staging.positions.push_back(static_cast<int32_t>(position));
    staging.position_rows.push_back(static_cast<int32_t>(position + position_offset_));
  }
  PackRopeRows(entry, staging);
  staging.query_start.push_back(static_cast<int32_t>(staging.token_ids.size()));
  staging.kv_len.push_back(static_cast<int32_t>(entry.end));
  for (int group = 0; group < kv_.num_groups(); ++group) {
    const BlockTable& table = sequence.kv.tables[group];
    Staging::Group& arrays = staging.groups[group];
    for (int64_t position = entry.begin; position < entry.end; ++position) {
      arrays.slots.push_back(table.Slot(position, block_tokens).value());
    }
    // The pages that the entry's rows see, and no others.
    const int32_t first = kv_.FirstVisibleBlock(group, entry.begin);
    const auto end = static_cast<int32_t>((entry.end + block_tokens - 1) / block_tokens);
    arrays.first_block.push_back(first);
    for (int32_t block = first; block < end; ++block) {
      arrays.blocks.push_back(table.At(block).value());
    }
    arrays.table_start.push_back(static_cast<int32_t>(arrays.blocks.size()));
    const int32_t sink_blocks = std::min(end, kv_.SinkBlocks(group));
    for (int32_t block = 0; block < sink_blocks; ++block) {
      arrays.prefix_blocks.push_back(table.At(block).value());
    }
    arrays.prefix_start.push_back(static_cast<int32_t>(arrays.prefix_blocks.size()));
  }
}

void BatchBuilder::PackSamples(const StepPlan& plan, StepBatch& batch) const {
  batch.logits_rows = plan.logits_rows;
  batch.samples.clear();
  for (const PlanSample& sample : plan.samples) {
    const Sequence& sequence = *sample.sequence;
    const Request& request = sequence.request();
    const int64_t output_position = sample.position - sequence.prompt_tokens();
    SampleRow row;
    row.logits_row = sample.logits_row;
    row.params = &request.sampling;
    row.sequence_index = static_cast<uint32_t>(sequence.index);
    row.output_position = static_cast<uint64_t>(output_position);
    row.prompt = request.prompt;
    row.output = sequence.output;
    if (output_position > static_cast<int64_t>(sequence.output.size())) {
      row.pending = DrawOf(sequence, sample.position - 1);
    }
    if (output_position < request.stopping.min_new_tokens) row.banned = sequence.owner->end_ids;
    row.top_logprobs = request.top_logprobs;
    row.sequence = sequence.id;
    batch.samples.push_back(row);
  }
  batch.scored_rows.clear();
  batch.scored_targets.clear();
  batch.scored_top.clear();
  for (const PromptLogprobRow& scored : plan.prompt_logprobs) {
    batch.scored_rows.push_back(scored.row);
    batch.scored_targets.push_back(scored.sequence->token(scored.position));
    batch.scored_top.push_back(scored.sequence->request().top_logprobs.value_or(0));
  }
  batch.pooled.clear();
  for (const PooledRows& pooled : plan.pooled) {
    batch.pooled.push_back({.first_row = pooled.first_row,
                            .count = pooled.count,
                            .sum = absl::MakeSpan(pooled.request->pool_sum)});
  }
}

}  // namespace quire
