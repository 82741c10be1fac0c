// Draws without sorting: every restriction (top_k, top_p) becomes a cut, the last element kept in
// the order (y descending, id ascending). Cuts are found among the few candidates above a threshold
// that vector passes over the row give; the draw then sums weights by blocks of ascending ids.
#include "ops/cpu/cpu_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/ceil_div.h"
#include "core/check.h"
#include "ops/cpu/kernels/sample_kernels.h"
#include "ops/cpu/logit_edits.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/logit_edits.h"
#include "ops/sampling_math.h"

namespace quire {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr int64_t kSumBlock = 1024;  // ids whose weights are summed at a time

struct Candidate {
  float y = 0;
  TokenId id = 0;
};

bool ComesBefore(const Candidate& a, const Candidate& b) {
  return a.y != b.y ? a.y > b.y : a.id < b.id;
}

// Scratch of one thread.
struct Scratch {
  std::vector<float> y;                 // [V]
  std::vector<int32_t> counts;          // [V], all zero between uses
  std::vector<float> block_max;         // [V / kMaxBlock]
  std::vector<int32_t> indices;         // [V]
  std::vector<Candidate> candidates;    // [V]
  std::vector<uint64_t> block_weights;  // [V / kSumBlock]
};

// One row being drawn from.
class RowDraw {
 public:
  RowDraw(const SampleKernels& kernels, absl::Span<const float> y, Scratch& scratch)
      : kernels_(kernels), y_(y), scratch_(scratch) {
    max_ = kernels_.row_max(y_.data(), size());
  }

  TokenId Draw(const SampleRow& row) {
    if (!HasFiniteMax()) return kNoToken;
    const SamplingParams& params = *row.params;
    if (params.temperature == 0) return Greedy();
    scale_ = TemperatureScale(params.temperature);
    if (params.top_k > 0 && params.top_k < size()) CutToTopK(params.top_k);
    if (params.top_p < 1) CutToTopP(params.top_p);
    min_weight_ = MinWeight(params.min_p);
    return DrawKept(RandomBits(params.seed, row.sequence_index, row.output_position));
  }

  // The first k by (y descending, id ascending), in that order.
  absl::Span<const Candidate> Top(int64_t k) {
    const absl::Span<Candidate> candidates = GatherTop(k);
    const auto end = candidates.begin() + std::min<int64_t>(k, candidates.size());
    std::partial_sort(candidates.begin(), end, candidates.end(), ComesBefore);
    return candidates.first(end - candidates.begin());
  }

  // Whether the row has a greatest element that tokens can be compared with.
  bool HasFiniteMax() const { return std::isfinite(max_); }

  // ln of the sum of e^y over the whole row.
  double LogSumExp() {
    scale_ = TemperatureScale(1);
    const auto total = static_cast<double>(SumWeights(0, size()));
    return static_cast<double>(max_) + std::log(total / static_cast<double>(kUnitWeight));
  }

 private:
  int64_t size() const { return static_cast<int64_t>(y_.size()); }
  uint64_t Weight(float y) const { return ExpWeight(y, max_, scale_); }

  TokenId Greedy() {
    return static_cast<TokenId>(std::find(y_.begin(), y_.end(), max_) - y_.begin());
  }

  // All elements >= threshold.
  absl::Span<Candidate> GatherAtLeast(float threshold) {
    const int64_t count = kernels_.gather(y_.data(), size(), threshold, scratch_.indices.data());
    scratch_.candidates.resize(count);
    for (int64_t i = 0; i < count; ++i) {
      const TokenId id = scratch_.indices[i];
      scratch_.candidates[i] = {.y = y_[id], .id = id};
    }
    return absl::MakeSpan(scratch_.candidates);
  }

  // A few more than the first k: the k-th greatest maximum of the blocks bounds them from below,
  // because each of k blocks has an element at least as great.
  absl::Span<Candidate> GatherTop(int64_t k) {
    const int64_t blocks = CeilDiv(size(), kMaxBlock);
    if (k >= blocks) return GatherAtLeast(kMinusInfinity);
    kernels_.block_max(y_.data(), size(), scratch_.block_max.data());
    const auto kth = scratch_.block_max.begin() + (k - 1);
    std::nth_element(scratch_.block_max.begin(), kth, scratch_.block_max.begin() + blocks,
                     std::greater<>());
    return GatherAtLeast(*kth);
  }

  void CutToTopK(int64_t k) {
    const absl::Span<Candidate> candidates = GatherTop(k);
    if (static_cast<int64_t>(candidates.size()) < k) return;  // the others are NaN
    const auto kth = candidates.begin() + (k - 1);
    std::nth_element(candidates.begin(), kth, candidates.end(), ComesBefore);
    cut_ = *kth;
  }

  void CutToTopP(float top_p) {
    const uint64_t target = TopPTarget(top_p, SumWeights(0, size()));
    // Candidates within 2^-8 of the greatest, then of 2^-16, ...: the first that suffice.
    for (float reach = 8;; reach *= 2) {
      const bool all = reach > 41;
      const float least = all ? kMinusInfinity : max_ - reach / scale_;
      absl::Span<Candidate> candidates = GatherAtLeast(std::max(least, cut_.y));
      uint64_t sum = 0;
      size_t kept = 0;
      for (const Candidate& candidate : candidates) {
        if (ComesBefore(cut_, candidate)) continue;
        sum += Weight(candidate.y);
        candidates[kept++] = candidate;
      }
      if (sum < target) {
        QUIRE_CHECK(!all && cut_.y < least) << "all weights sum to " << sum << " of " << target;
        continue;
      }
      cut_ = LastOfPrefix(candidates.first(kept), target);
      return;
    }
  }

  // The element at which the running sum of weights, in order, reaches the target: by partitions,
  // each of which leaves out the side where it is not.
  Candidate LastOfPrefix(absl::Span<Candidate> in_reach, uint64_t target) const {
    uint64_t before = 0;
    while (in_reach.size() > 1) {
      const auto middle = in_reach.begin() + in_reach.size() / 2;
      std::nth_element(in_reach.begin(), middle, in_reach.end(), ComesBefore);
      uint64_t first_half = 0;
      for (auto it = in_reach.begin(); it != middle; ++it) first_half += Weight(it->y);
      if (before + first_half >= target) {
        in_reach = in_reach.first(middle - in_reach.begin());
      } else {
        before += first_half;
        in_reach = in_reach.subspan(middle - in_reach.begin());
      }
    }
    return in_reach.front();
  }

  // Weights of the ids in [begin, end) that the cut and min_p keep.
  uint64_t SumWeights(int64_t begin, int64_t end) const {
    const int64_t equal_end = std::clamp<int64_t>(cut_.id + int64_t{1}, begin, end);
    WeightSumArgs args{.y = y_.data(),
                       .begin = begin,
                       .end = equal_end,
                       .max = max_,
                       .scale = scale_,
                       .cut = cut_.y,
                       .keep_equal = true,
                       .min_weight = min_weight_};
    uint64_t sum = begin < equal_end ? kernels_.weight_sum(args) : 0;
    if (equal_end == end) return sum;
    args.begin = equal_end;
    args.end = end;
    args.keep_equal = false;
    return sum + kernels_.weight_sum(args);
  }

  TokenId DrawKept(uint64_t random_bits) {
    const int64_t blocks = CeilDiv(size(), kSumBlock);
    uint64_t total = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t begin = block * kSumBlock;
      scratch_.block_weights[block] = SumWeights(begin, std::min(begin + kSumBlock, size()));
      total += scratch_.block_weights[block];
    }
    uint64_t share = ShareOf(total, random_bits);
    int64_t block = 0;
    while (block < blocks && share >= scratch_.block_weights[block]) {
      share -= scratch_.block_weights[block++];
    }
    for (int64_t id = block * kSumBlock; id < size(); ++id) {
      const Candidate candidate{.y = y_[id], .id = static_cast<TokenId>(id)};
      if (!(candidate.y >= cut_.y) || ComesBefore(cut_, candidate)) continue;
      const uint64_t weight = Weight(candidate.y);
      if (weight < min_weight_) continue;
      if (share < weight) return candidate.id;
      share -= weight;
    }
    QUIRE_CHECK(false) << "the weights sum to " << total;
    return kNoToken;
  }

  const SampleKernels& kernels_;
  absl::Span<const float> y_;
  Scratch& scratch_;
  float max_;
  float scale_ = 0;
  Candidate cut_{.y = kMinusInfinity, .id = std::numeric_limits<TokenId>::max()};
  uint64_t min_weight_ = 0;
};

class CpuSampler : public Sampler {
 public:
  CpuSampler(ThreadPool& pool, CpuIsa isa, int64_t vocab_size)
      : pool_(pool), kernels_(SampleKernelsFor(isa)), scratch_(pool.num_threads()) {
    for (Scratch& scratch : scratch_) {
      scratch.y.resize(vocab_size);
      scratch.counts.resize(vocab_size);
      scratch.block_max.resize(CeilDiv(vocab_size, kMaxBlock));
      scratch.indices.resize(vocab_size);
      scratch.candidates.reserve(vocab_size);
      scratch.block_weights.resize(CeilDiv(vocab_size, kSumBlock));
    }
  }

  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    QUIRE_CHECK_EQ(rows.size(), results.size());
    pool_.ParallelFor(static_cast<int64_t>(rows.size()), [&](int64_t task, int thread) {
      const SampleRow& row = rows[task];
      Scratch& scratch = scratch_[thread];
      const auto raw = absl::MakeConstSpan(logits.Row<float>(row.logits_row), logits.cols);
      SampledToken& result = results[task];
      if (EditsLogits(row)) {
        std::copy(raw.begin(), raw.end(), scratch.y.begin());
        EditLogits(row, absl::MakeSpan(scratch.y), absl::MakeSpan(scratch.counts));
        result.token = RowDraw(kernels_, scratch.y, scratch).Draw(row);
      } else {
        result.token = RowDraw(kernels_, raw, scratch).Draw(row);
      }
      if (row.top_logprobs && result.token != kNoToken) {
        ScoreRow(raw, result.token, *row.top_logprobs, scratch, result.logprobs);
        result.token = result.logprobs.chosen.token;
      }
    });
  }

  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    QUIRE_CHECK_EQ(targets.size(), results.size());
    pool_.ParallelFor(static_cast<int64_t>(targets.size()), [&](int64_t task, int thread) {
      ScoreRow(absl::MakeConstSpan(logits.Row<float>(task), logits.cols), targets[task], top,
               scratch_[thread], results[task]);
    });
  }

 private:
  void ScoreRow(absl::Span<const float> y, TokenId target, int32_t top, Scratch& scratch,
                TokenLogprobs& result) const {
    RowDraw row(kernels_, y, scratch);
    result.top.clear();
    result.chosen = {.token = kNoToken};
    if (!row.HasFiniteMax()) return;
    const double log_sum = row.LogSumExp();
    const auto score = [&](TokenId id, float value) {
      return TokenLogprob{.token = id, .logprob = static_cast<float>(value - log_sum)};
    };
    result.chosen = score(target, std::isnan(y[target]) ? kMinusInfinity : y[target]);
    if (top == 0) return;
    result.top.reserve(top);
    for (const Candidate& likely : row.Top(top)) result.top.push_back(score(likely.id, likely.y));
  }

  ThreadPool& pool_;
  const SampleKernels& kernels_;
  std::vector<Scratch> scratch_;  // [threads]
};

}  // namespace

std::unique_ptr<Sampler> MakeCpuSampler(ThreadPool& pool, CpuIsa isa, int64_t vocab_size) {
  return std::make_unique<CpuSampler>(pool, isa, vocab_size);
}

}  // namespace quire
