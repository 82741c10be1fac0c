// The choice of experts and the sum of what they give: one call owns a range of rows, or one row.
#include "core/cpu/simd/special.h"
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

constexpr float kLowest = -__builtin_inff();

// The best of what is offered, in descending order; of equals the one offered first.
class Top {
 public:
  explicit Top(int limit) : limit_(limit) {}
  void Offer(int id, float score) {
    if (count_ == limit_ && !(score > scores_[limit_ - 1])) return;
    int at = count_ < limit_ ? count_++ : limit_ - 1;
    for (; at > 0 && score > scores_[at - 1]; --at) {
      ids_[at] = ids_[at - 1];
      scores_[at] = scores_[at - 1];
    }
    ids_[at] = id;
    scores_[at] = score;
  }
  int count() const { return count_; }
  int id(int i) const { return ids_[i]; }
  float score(int i) const { return scores_[i]; }

 private:
  int limit_;
  int count_ = 0;
  int ids_[kMaxTopK] = {};
  float scores_[kMaxTopK] = {};
};

// x = softmax(x); NaN where one is NaN. Room for a whole last vector.
void Softmax(float* x, int count) {
  Vec most = Broadcast(kLowest);
  for (int i = 0; i < count; i += kLanes) {
    // Gives its second argument where one is NaN.
    most = Max(KeepLanes(Load(x + i), 0, LanesOf(count - i), kLowest), most);
  }
  const Vec max = Broadcast(ReduceMax(most));
  Vec sum = Zero();
  for (int i = 0; i < count; i += kLanes) {
    const Vec e = KeepLanes(Exp(Sub(Load(x + i), max)), 0, LanesOf(count - i), 0.0F);
    Store(x + i, e);
    sum = Add(sum, e);
  }
  const Vec total = Broadcast(ReduceAdd(sum));
  for (int i = 0; i < count; i += kLanes) Store(x + i, Div(Load(x + i), total));
}

class RowRouter {
 public:
  explicit RowRouter(const RouteArgs& args) : r_(args) {}

  void Run(int64_t row) {
    Score(r_.logits + row * r_.logits_stride);
    Top top(r_.top_k);
    if (r_.top_groups < r_.num_groups) {
      bool chosen[kMaxExperts] = {};
      ChooseGroups(chosen);
      const int size = r_.num_experts / r_.num_groups;
      for (int group = 0; group < r_.num_groups; ++group) {
        if (chosen[group]) Offer(group * size, (group + 1) * size, top);
      }
    } else {
      Offer(0, r_.num_experts, top);
    }
    Weigh(top, r_.ids + row * r_.top_k, r_.weights + row * r_.weights_stride);
  }

 private:
  // scores_ of all experts and what they are chosen by, which is never NaN.
  void Score(const float* logits) {
    for (int i = 0; i < r_.num_experts; i += kLanes) {
      const Vec x = LoadElements(logits, ElementType::kFloat32, i, LanesOf(r_.num_experts - i));
      Store(scores_ + i, r_.scoring == Scoring::kSigmoid ? Sigmoid(x) : x);
    }
    if (r_.scoring == Scoring::kSoftmax) Softmax(scores_, r_.num_experts);
    for (int i = 0; i < r_.num_experts; i += kLanes) {
      Vec x = Load(scores_ + i);
      if (r_.correction_bias != nullptr) {
        x = Add(x, LoadElements(r_.correction_bias, ElementType::kFloat32, i,
                                LanesOf(r_.num_experts - i)));
      }
      Store(choice_ + i, Max(x, Broadcast(kLowest)));
    }
  }

  void Offer(int begin, int end, Top& top) const {
    for (int i = begin; i < end; ++i) top.Offer(i, choice_[i]);
  }

  void ChooseGroups(bool* chosen) const {
    const int size = r_.num_experts / r_.num_groups;
    Top groups(r_.top_groups);
    for (int group = 0; group < r_.num_groups; ++group) {
      Top best(r_.group_score == GroupScore::kMax ? 1 : 2);
      Offer(group * size, (group + 1) * size, best);
      float score = best.score(0);
      if (r_.group_score == GroupScore::kTopTwoSum) score += best.score(1);
      groups.Offer(group, score);
    }
    for (int i = 0; i < groups.count(); ++i) chosen[groups.id(i)] = true;
  }

  void Weigh(const Top& top, int32_t* ids, float* weights) const {
    float w[kMaxTopK + kLanes] = {};
    for (int j = 0; j < r_.top_k; ++j) {
      ids[j] = top.id(j);
      w[j] = scores_[top.id(j)];
    }
    if (r_.scoring == Scoring::kSoftmaxOfChosen) Softmax(w, r_.top_k);
    float divisor = 1.0F;
    if (r_.normalise) {
      divisor = 0.0F;
      for (int j = 0; j < r_.top_k; ++j) divisor += w[j];
      divisor += 1e-20F;
    }
    for (int j = 0; j < r_.top_k; ++j) weights[j] = w[j] / divisor * r_.scale;
  }

  const RouteArgs& r_;
  float scores_[kMaxExperts + kLanes] = {};
  float choice_[kMaxExperts + kLanes] = {};
};

}  // namespace

void Route(const RouteArgs& args) {
  RowRouter router(args);
  for (int64_t row = 0; row < args.rows; ++row) router.Run(row);
}

void Combine(const CombineArgs& c) {
  for (int64_t i = 0; i < c.width; i += kLanes) {
    const int lanes = LanesOf(c.width - i);
    Vec sum = Zero();
    for (int j = 0; j < c.count; ++j) {
      const Vec x =
          LoadElements(c.x, ElementType::kFloat32, c.positions[j] * c.x_stride + i, lanes);
      sum = Fma(Broadcast(c.weights[j]), x, sum);
    }
    StoreElements(c.out, ElementType::kFloat32, i, sum, lanes);
  }
}

}  // namespace quire::QUIRE_ISA
