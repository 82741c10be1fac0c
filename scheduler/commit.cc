// Scheduler::Commit: what a computed plan makes true.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "scheduler/scheduler.h"

namespace quire {
namespace {

bool Contains(const std::vector<TokenId>& ids, TokenId token) {
  return std::find(ids.begin(), ids.end(), token) != ids.end();
}

// Why the sequence ends with its newest token, if it does.
std::optional<FinishReason> ReasonToStop(const Sequence& sequence) {
  const StoppingParams& stopping = sequence.request().stopping;
  const TokenId token = sequence.output.back();
  const auto count = static_cast<int64_t>(sequence.output.size());
  if (count > stopping.min_new_tokens) {
    if (Contains(stopping.eos_token_ids, token)) return FinishReason::kEos;
    if (Contains(stopping.stop_token_ids, token)) return FinishReason::kStopToken;
  }
  if (count < sequence.owner->max_new_tokens) return std::nullopt;
  return stopping.max_new_tokens.has_value() ? FinishReason::kMaxTokens
                                             : FinishReason::kContextLimit;
}

absl::Status NoFiniteLogit() {
  return absl::InternalError("the model gave no finite logit to choose a token from");
}

}  // namespace

void Scheduler::Commit(StepPlan plan, const StepResult& result, absl::Time now) {
  QUIRE_CHECK_EQ(result.samples.size(), plan.samples.size());
  QUIRE_CHECK_EQ(result.prompt_logprobs.size(), plan.prompt_logprobs.size());
  kv_->CommitPlan(plan.id);
  --outstanding_plans_;
  CommitPromptLogprobs(plan, result, now);
  for (const PlanEntry& entry : plan.entries) CommitEntry(entry, now);
  for (size_t i = 0; i < plan.samples.size(); ++i) {
    CommitSample(plan.samples[i], result.samples[i], now);
  }
  BuryDead();
  plan.entries.clear();
  plan.copies.clear();
  plan.logits_rows.clear();
  plan.samples.clear();
  plan.prompt_logprobs.clear();
  plan.pooled.clear();
  plan.num_rows = 0;
  plan.num_generated_rows = 0;
  spare_plans_.push_back(std::move(plan));
}

void Scheduler::CommitPromptLogprobs(const StepPlan& plan, const StepResult& result,
                                     absl::Time now) {
  for (size_t i = 0; i < plan.prompt_logprobs.size(); ++i) {
    const PromptLogprobRow& row = plan.prompt_logprobs[i];
    if (row.sequence->state == SequenceState::kDone) continue;
    if (result.prompt_logprobs[i].chosen.token == kNoToken) {
      FinishAll(*row.sequence->owner, FinishReason::kFailed, NoFiniteLogit(), now);
      continue;
    }
    std::vector<TokenLogprobs>& collected = row.sequence->owner->prompt_logprobs;
    // By position: rows that a preemption made compute again land on themselves.
    if (static_cast<int64_t>(collected.size()) < row.position) collected.resize(row.position);
    collected[row.position - 1] = result.prompt_logprobs[i];
  }
}

// The keys and values of [0, end) are in the cache now.
void Scheduler::AdvanceComputed(Sequence& sequence, int64_t end) {
  sequence.num_computed = std::max(sequence.num_computed, end);
  QUIRE_CHECK_LE(sequence.num_computed, sequence.num_tokens());
  const int64_t shareable = config_.share_generated_blocks
                                ? sequence.num_computed
                                : std::min(sequence.num_computed, sequence.prompt_rows());
  kv_->Publish(sequence.kv, shareable, [&](int64_t position) { return sequence.token(position); });
  kv_->ReleaseBehindWindow(sequence.kv, sequence.num_computed, sequence.last_plan);
}

void Scheduler::CommitEntry(const PlanEntry& entry, absl::Time now) {
  Sequence& sequence = *entry.sequence;
  // Rows of a sequence that has ended or lost its blocks since count for nothing.
  if (sequence.state == SequenceState::kDone || sequence.epoch != entry.epoch) return;
  AdvanceComputed(sequence, entry.end);
  LiveRequest& live = *sequence.owner;
  const int64_t from = std::max(entry.begin, sequence.charged_prompt);
  const int64_t prompt_end = std::min(entry.end, sequence.prompt_tokens());
  if (from < prompt_end) {
    live.tenant->Charge(TenantShares::kPromptTokenCost * (prompt_end - from));
    sequence.charged_prompt = prompt_end;
  }
  if (sequence.num_computed < sequence.prompt_tokens()) return;
  SendPromptLogprobs(live);
  if (live.max_new_tokens == 0) {
    FinishAll(live, FinishReason::kMaxTokens, absl::OkStatus(), now);
  }
}

void Scheduler::SendPromptLogprobs(LiveRequest& live) {
  if (!live.request->prompt_logprobs || live.prompt_logprobs_sent) return;
  live.prompt_logprobs_sent = true;
  TokenEvent event;
  event.request = live.key;
  event.prompt_logprobs = std::move(live.prompt_logprobs);
  events_.push_back(std::move(event));
}

void Scheduler::CommitSample(const PlanSample& sample, const SampledToken& sampled,
                             absl::Time now) {
  Sequence& sequence = *sample.sequence;
  --sequence.inflight_samples;
  if (sequence.state == SequenceState::kDone) return;
  // A draw stays good even if its sequence was preempted meanwhile: its logits were.
  QUIRE_CHECK_EQ(sample.position, sequence.num_tokens());
  if (sampled.token == kNoToken) {
    FinishAll(*sequence.owner, FinishReason::kFailed, NoFiniteLogit(), now);
    return;
  }
  sequence.output.push_back(sampled.token);
  if (sequence.epoch == sample.epoch) AdvanceComputed(sequence, sample.position);
  LiveRequest& live = *sequence.owner;
  SendPromptLogprobs(live);  // unsent only if a preemption made CommitEntry skip the prompt's rows
  if (live.first_token == absl::InfiniteFuture()) live.first_token = now;
  live.tenant->Charge(TenantShares::kOutputTokenCost);
  ++totals_.total_generated_tokens;

  TokenEvent event;
  event.request = live.key;
  event.sequence_index = sequence.index;
  event.token = sampled;
  events_.push_back(std::move(event));
  if (const auto reason = ReasonToStop(sequence)) {
    FinishSequence(sequence, *reason, absl::OkStatus(), now);
  }
}

}  // namespace quire
