#include "ops/reference/reference_router.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/elements.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();

void Softmax(std::vector<double>& x) {
  const double max = *std::max_element(x.begin(), x.end());
  for (double& value : x) value = std::exp(value - max);
  const double sum = std::accumulate(x.begin(), x.end(), 0.0);
  for (double& value : x) value /= sum;
}

// The indices of the `count` largest, in descending order, equals by index; NaN is the least.
std::vector<int> Largest(std::vector<double> x, int count) {
  for (double& value : x) value = std::isnan(value) ? kLowest : value;
  std::vector<int> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return x[a] > x[b]; });
  order.resize(count);
  return order;
}

double GroupScoreOf(GroupScore kind, const std::vector<double>& choice, int begin, int size) {
  const std::vector<double> group(choice.begin() + begin, choice.begin() + begin + size);
  const std::vector<int> best = Largest(group, kind == GroupScore::kMax ? 1 : 2);
  double score = 0.0;
  for (int i : best) score += group[i];
  return score;
}

std::vector<int> Choose(const RouterParams& params, const std::vector<double>& choice) {
  const int size = params.num_experts / params.num_groups;
  std::vector<double> group_scores;
  group_scores.reserve(params.num_groups);
  for (int group = 0; group < params.num_groups; ++group) {
    group_scores.push_back(GroupScoreOf(params.group_score, choice, group * size, size));
  }
  std::vector<int> groups =
      params.num_groups == 1 ? std::vector<int>{0} : Largest(group_scores, params.top_groups);
  std::sort(groups.begin(), groups.end());
  std::vector<int> experts;
  std::vector<double> of_groups;
  for (int group : groups) {
    for (int i = 0; i < size; ++i) {
      experts.push_back(group * size + i);
      of_groups.push_back(choice[experts.back()]);
    }
  }
  std::vector<int> chosen;
  for (int i : Largest(of_groups, params.top_k)) chosen.push_back(experts[i]);
  return chosen;
}

}  // namespace

void ReferenceRoute(const RouterParams& params, const DeviceMatrix& logits,
                    DeviceArray<int32_t> ids, const DeviceMatrix& weights) {
  CheckRoute(params, logits, ids, weights);
  for (int64_t t = 0; t < logits.rows; ++t) {
    std::vector<double> scores(params.num_experts);
    for (int i = 0; i < params.num_experts; ++i) {
      const double logit = LoadElement(logits, t, i);
      scores[i] = params.scoring == Scoring::kSigmoid ? 1.0 / (1.0 + std::exp(-logit)) : logit;
    }
    if (params.scoring == Scoring::kSoftmax) Softmax(scores);
    std::vector<double> choice = scores;
    for (int64_t i = 0; i < params.correction_bias.size(); ++i) {
      choice[i] += params.correction_bias.data()[i];
    }
    const std::vector<int> chosen = Choose(params, choice);
    std::vector<double> w;
    w.reserve(chosen.size());
    for (int expert : chosen) w.push_back(scores[expert]);
    if (params.scoring == Scoring::kSoftmaxOfChosen) Softmax(w);
    const double sum = std::accumulate(w.begin(), w.end(), 0.0) + 1e-20;
    for (int j = 0; j < params.top_k; ++j) {
      ids.data[t * params.top_k + j] = chosen[j];
      const double weight = w[j] / (params.normalise ? sum : 1.0) * params.scale;
      StoreElement(weights, t, j, static_cast<float>(weight));
    }
  }
}

}  // namespace quire
