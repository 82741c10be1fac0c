// A device that remembers which prefix each cache slot was computed for, so that any stale, shared
// or missing page shows; and a model whose tokens are a pure function of (request, index,
// position).
#ifndef QUIRE_TESTS_SCHEDULER_FAKE_DEVICE_H_
#define QUIRE_TESTS_SCHEDULER_FAKE_DEVICE_H_

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "absl/hash/hash.h"
#include "kvcache/kv_manager.h"
#include "scheduler/step_plan.h"

namespace quire {

inline constexpr TokenId kFakeVocabulary = 40;
inline constexpr TokenId kFakeEos = 0;

inline uint64_t Mix(uint64_t x) {  // splitmix64's finaliser
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// The token that the fake model draws for output position `output_position`.
inline TokenId FakeToken(const Request& request, int sequence_index, int64_t output_position) {
  for (uint64_t attempt = 0;; ++attempt) {
    const uint64_t bits =
        Mix(request.sampling.seed ^ Mix(sequence_index + 1000 * output_position) ^ (attempt << 56));
    const auto token = static_cast<TokenId>(bits % kFakeVocabulary);
    const StoppingParams& stopping = request.stopping;
    const bool stops = token == kFakeEos ||
                       std::find(stopping.stop_token_ids.begin(), stopping.stop_token_ids.end(),
                                 token) != stopping.stop_token_ids.end();
    if (!stops || output_position >= stopping.min_new_tokens) return token;
  }
}

// Requests whose logits are not finite, for the prompt and from output position kBadPosition on: no
// token is scored or drawn.
inline constexpr int64_t kBadPosition = 2;
inline bool HasBadLogits(const Request& request) { return request.sampling.seed % 32 == 0; }

class FakeDevice {
 public:
  explicit FakeDevice(const KvManagerConfig& config) : config_(config) {
    for (const KvGroupConfig& group : config.groups) {
      slots_.emplace_back(int64_t{group.num_blocks} * config.block_tokens, 0);
    }
  }

  // Runs a plan as a device does: copies, then every row's write, then every row's reads. Returns
  // the number of rows that saw something else than their own prefix.
  int64_t Run(const StepPlan& plan) {
    for (const PageCopy& copy : plan.copies) {
      for (int i = 0; i < config_.block_tokens; ++i) {
        slots_[copy.group][copy.target.value() * config_.block_tokens + i] =
            slots_[copy.group][copy.source.value() * config_.block_tokens + i];
      }
    }
    for (const PlanEntry& entry : plan.entries) {
      for (int64_t p = entry.begin; p < entry.end; ++p) {
        for (size_t group = 0; group < slots_.size(); ++group) {
          Slot(group, entry, p) = PrefixOf(*entry.sequence, p);
        }
      }
    }
    int64_t wrong = 0;
    for (const PlanEntry& entry : plan.entries) {
      for (int64_t p = entry.begin; p < entry.end; ++p) wrong += SeesItsPrefix(entry, p) ? 0 : 1;
    }
    return wrong;
  }

  StepResult Results(const StepPlan& plan) const {
    StepResult result;
    for (const PlanSample& sample : plan.samples) {
      const Sequence& sequence = *sample.sequence;
      const Request& request = sequence.request();
      const int64_t position = sample.position - sequence.prompt_tokens();
      const bool bad = HasBadLogits(request) && position == kBadPosition;
      result.samples.push_back(
          {.token = bad ? kNoToken : FakeToken(request, sequence.index, position), .logprobs = {}});
    }
    for (const PromptLogprobRow& row : plan.prompt_logprobs) {
      TokenLogprobs scored;
      const bool bad = HasBadLogits(row.sequence->request());
      scored.chosen.token = bad ? kNoToken : row.sequence->token(row.position);
      result.prompt_logprobs.push_back(scored);
    }
    return result;
  }

  void Forget(const Request* request) {
    prefixes_.erase(prefixes_.lower_bound({request, 0, 0}),
                    prefixes_.upper_bound({request, 1 << 20, 0}));
  }

 private:
  uint64_t& Slot(size_t group, const PlanEntry& entry, int64_t position) {
    return slots_[group]
                 [entry.sequence->kv.tables[group].Slot(position, config_.block_tokens).value()];
  }

  bool SeesItsPrefix(const PlanEntry& entry, int64_t position) {
    for (size_t group = 0; group < slots_.size(); ++group) {
      const int64_t window = config_.groups[group].window;
      const int64_t first = window == 0 ? 0 : std::max<int64_t>(0, position - window + 1);
      for (int64_t seen = 0; seen <= position; ++seen) {
        if (seen < first && seen >= config_.groups[group].sinks) continue;
        if (Slot(group, entry, seen) != PrefixOf(*entry.sequence, seen)) return false;
      }
    }
    return true;
  }

  // Names the tokens [0, position] of a sequence and everything that must keep caches apart.
  uint64_t PrefixOf(const Sequence& sequence, int64_t position) {
    const Request& request = sequence.request();
    std::vector<uint64_t>& prefix = prefixes_[{&request, sequence.index, sequence.rope.length}];
    while (static_cast<int64_t>(prefix.size()) <= position) {
      const auto p = static_cast<int64_t>(prefix.size());
      const int64_t output = p - sequence.prompt_tokens();
      const TokenId token =
          output < 0 ? request.prompt[p] : FakeToken(request, sequence.index, output);
      const uint64_t before =
          p > 0 ? prefix.back()
                : absl::HashOf(request.tenant, request.cache_salt, RopeCacheKey(sequence.rope));
      prefix.push_back(Mix(before ^ Mix(token)));
    }
    return prefix[position];
  }

  KvManagerConfig config_;
  std::vector<std::vector<uint64_t>> slots_;  // [groups][num_blocks * B]
  // Of a request's sequence, with a rotation for sequences of some length.
  std::map<std::tuple<const Request*, int, int64_t>, std::vector<uint64_t>> prefixes_;
};

}  // namespace quire

#endif  // QUIRE_TESTS_SCHEDULER_FAKE_DEVICE_H_
