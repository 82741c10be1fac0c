// The choice of experts: one block, a warp, owns a row. Some tens of instructions per logit and k
// searches one after the other: latency bounds it, not memory.
//
// Lane l holds the experts l, l + 32, ... The scores' arithmetic is the CPU's
// (ops/cpu/kernels/moe_kernels.cc): by sigmoids and by plain logits the ids are those of its
// instruction sets that fuse multiply-adds, and so are a sigmoid's weights, to the bit. A softmax
// is another matter: the sum of its exponentials has an order of its own here (a lane's in the
// order of experts, then the lanes as a tree) as on each of those, so that scores that differ by a
// unit in the last place may come out equal on one and not on another.
#ifndef QUIRE_OPS_CUDA_ROUTER_CUH_
#define QUIRE_OPS_CUDA_ROUTER_CUH_

#include <bit>
#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "ops/cuda/moe_args.h"
#include "ops/cuda/special.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr float kLowest = std::bit_cast<float>(0xff800000U);  // -infinity

struct RouteParams {
  RouterRules rules;
  Global<const float> correction_bias;
  Global<const float> logits;
  int64_t logits_stride;
  Global<int32_t> ids;
  Global<float> weights;
  int64_t weights_stride;
};

// Bits that are ordered as the numbers are, NaN as the lowest; 0 is none of them.
QUIRE_DEVICE uint32_t KeyOf(float x) {
  const auto bits = std::bit_cast<uint32_t>(x == x ? x + 0.0F : kLowest);  // -0 becomes 0
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
QUIRE_DEVICE float OfKey(uint32_t key) {
  return std::bit_cast<float>((key & 0x80000000U) != 0 ? key ^ 0x80000000U : ~key);
}

// Takes the greatest of keys [count] away, one after the other, of equals the one of the lowest
// index. Lane l alone reads and writes the keys l, l + 32, ...; one that is 0 is not there.
class KeyQueue {
 public:
  QUIRE_DEVICE KeyQueue(Shared<uint32_t> keys, int count) : keys_(keys), count_(count) { Search(); }

  // Its index, in all lanes; there must be one left.
  QUIRE_DEVICE int Next() {
    const uint32_t greatest = WarpGreatest(key_);
    const uint32_t reversed = key_ == greatest ? ~static_cast<uint32_t>(index_) : 0U;
    const int index = static_cast<int>(~WarpGreatest(reversed));
    if (index % kWarpLanes == LaneIndex()) {
      keys_.Store(index, 0);
      Search();
    }
    return index;
  }

 private:
  // The greatest of this lane.
  QUIRE_DEVICE void Search() {
    key_ = 0;
    for (int i = LaneIndex(); i < count_; i += kWarpLanes) {
      const uint32_t key = keys_.Load(i);
      if (key > key_) {
        key_ = key;
        index_ = i;
      }
    }
  }

  Shared<uint32_t> keys_;
  int count_;
  uint32_t key_ = 0;
  int index_ = 0;
};

class RowRouter {
 public:
  QUIRE_DEVICE explicit RowRouter(const RouteParams& params)
      : p_(params),
        scores_(memory_.Take<float>(p_.rules.num_experts)),
        keys_(memory_.Take<uint32_t>(p_.rules.num_experts)),
        weights_(memory_.Take<float>(p_.rules.top_k)),
        group_keys_(memory_.Take<uint32_t>(p_.rules.num_groups)) {}
  // On the host.
  static size_t MemoryBytes(const RouterRules& rules) {
    return SharedBytes<float>(rules.num_experts) + SharedBytes<uint32_t>(rules.num_experts) +
           SharedBytes<float>(rules.top_k) + SharedBytes<uint32_t>(rules.num_groups);
  }

  QUIRE_DEVICE void Run(int64_t row) {
    Score(p_.logits + row * p_.logits_stride);
    if (p_.rules.top_groups < p_.rules.num_groups) KeepBestGroups();
    Choose(p_.ids + row * p_.rules.top_k);
    Weigh(p_.weights + row * p_.weights_stride);
  }

 private:
  // f(i) for the experts of this lane.
  template <typename F>
  QUIRE_DEVICE void ForExperts(F f) const {
    for (int i = LaneIndex(); i < p_.rules.num_experts; i += kWarpLanes) f(i);
  }

  // scores_ of all experts, and keys_ of what they are chosen by.
  QUIRE_DEVICE void Score(Global<const float> logits) {
    const Scoring scoring = p_.rules.scoring;
    float most = kLowest;
    ForExperts([&](int i) {
      const float x = logits.Load(i);
      scores_.Store(i, scoring == Scoring::kSigmoid ? Sigmoid<false>(x) : x);
      most = Greater(x, most);
    });
    if (scoring == Scoring::kSoftmax) {
      most = WarpReduce(most, [](float a, float b) { return Greater(a, b); });
      float sum = 0.0F;
      ForExperts([&](int i) {
        const float e = Exp(scores_.Load(i) - most);
        scores_.Store(i, e);
        sum += e;
      });
      sum = WarpReduce(sum, Plus());
      ForExperts([&](int i) { scores_.Store(i, ExactDivide(scores_.Load(i), sum)); });
    }
    ForExperts([&](int i) {
      float choice = scores_.Load(i);
      if (!p_.correction_bias.is_null()) {
        choice += p_.correction_bias.Load<Cache::kReadOnly>(i);
      }
      keys_.Store(i, KeyOf(choice));
    });
  }

  // Takes the keys of all other groups' experts away.
  QUIRE_DEVICE void KeepBestGroups() {
    const int size = p_.rules.num_experts / p_.rules.num_groups;
    WarpBarrier();
    for (int group = LaneIndex(); group < p_.rules.num_groups; group += kWarpLanes) {
      group_keys_.Store(group, KeyOf(GroupScoreOf(group * size, size)));
    }
    KeyQueue groups(group_keys_, p_.rules.num_groups);
    for (int i = 0; i < p_.rules.top_groups; ++i) groups.Next();
    WarpBarrier();
    ForExperts([&](int i) {
      if (group_keys_.Load(i / size) != 0) keys_.Store(i, 0);
    });
  }
  QUIRE_DEVICE float GroupScoreOf(int begin, int size) const {
    uint32_t best = 0, second = 0;
    for (int i = begin; i < begin + size; ++i) {
      const uint32_t key = keys_.Load(i);
      if (key > best) {
        second = best;
        best = key;
      } else if (key > second) {
        second = key;
      }
    }
    const bool both = p_.rules.group_score == GroupScore::kTopTwoSum;
    return both ? OfKey(best) + OfKey(second) : OfKey(best);
  }

  // Writes the ids, and of those chosen the scores to weights_.
  QUIRE_DEVICE void Choose(Global<int32_t> ids) {
    WarpBarrier();
    KeyQueue experts(keys_, p_.rules.num_experts);
    for (int j = 0; j < p_.rules.top_k; ++j) {
      const int id = experts.Next();
      if (j % kWarpLanes == LaneIndex()) {
        ids.Store(j, id);
        weights_.Store(j, scores_.Load(id));
      }
    }
  }

  // Lane l has the places l, l + 32, ...; all add up all of them, in their order.
  QUIRE_DEVICE void Weigh(Global<float> weights) {
    const int top_k = p_.rules.top_k;
    if (p_.rules.scoring == Scoring::kSoftmaxOfChosen) {
      WarpBarrier();
      float most = kLowest;
      for (int j = 0; j < top_k; ++j) most = Greater(weights_.Load(j), most);
      WarpBarrier();
      ForChosen([&](int j) { weights_.Store(j, Exp(weights_.Load(j) - most)); });
      const float sum = SumOfChosen();
      ForChosen([&](int j) { weights_.Store(j, ExactDivide(weights_.Load(j), sum)); });
    }
    const float divisor = p_.rules.normalise ? SumOfChosen() + 1e-20F : 1.0F;
    ForChosen(
        [&](int j) { weights.Store(j, ExactDivide(weights_.Load(j), divisor) * p_.rules.scale); });
  }
  template <typename F>
  QUIRE_DEVICE void ForChosen(F f) const {
    for (int j = LaneIndex(); j < p_.rules.top_k; j += kWarpLanes) f(j);
  }
  QUIRE_DEVICE float SumOfChosen() const {
    WarpBarrier();
    float sum = 0.0F;
    for (int j = 0; j < p_.rules.top_k; ++j) sum += weights_.Load(j);
    WarpBarrier();
    return sum;
  }

  // `most` where x is NaN.
  QUIRE_DEVICE static float Greater(float x, float most) { return x > most ? x : most; }

  const RouteParams& p_;
  SharedMemory memory_;
  Shared<float> scores_;         // [X]
  Shared<uint32_t> keys_;        // [X]
  Shared<float> weights_;        // [k]
  Shared<uint32_t> group_keys_;  // [groups]
};

inline QUIRE_KERNEL(kWarpLanes, 32) void RouteKernel(RouteParams p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  RowRouter(p).Run(BlockX());
}

// args.logits.rows of them.
template <typename Launcher>
void LaunchRouteRows(Launcher& launcher, const RouteRowsArgs& args) {
  const LaunchShape shape{.name = "route",
                          .grid = {.x = args.logits.rows},
                          .threads = kWarpLanes,
                          .shared_bytes = RowRouter::MemoryBytes(args.rules),
                          .overlaps_earlier = true};
  const RouteParams params{
      .rules = args.rules,
      .correction_bias = Global<const float>(args.correction_bias),
      .logits = Global<const float>(static_cast<const float*>(args.logits.data)),
      .logits_stride = args.logits.row_stride,
      .ids = Global<int32_t>(args.ids),
      .weights = Global<float>(static_cast<float*>(args.weights.data)),
      .weights_stride = args.weights.row_stride};
  launcher.Launch(shape, &RouteKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_ROUTER_CUH_
