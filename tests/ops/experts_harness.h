// What tests of expert layers share, whatever computes them.
#ifndef QUIRE_TESTS_OPS_EXPERTS_HARNESS_H_
#define QUIRE_TESTS_OPS_EXPERTS_HARNESS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "ops/ops.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire::testing {

struct ExpertsShape {
  int num_experts = 8;
  int top_k = 3;
  int64_t hidden = 72;
  int64_t ffn = 40;
  bool bias = true;
  ActivationParams activation;
};

inline std::unique_ptr<Experts> MakeRandomExperts(Ops& ops, const ExpertsShape& shape, DType act) {
  ExpertsSpec spec{.activation = shape.activation, .top_k = shape.top_k, .act_dtype = act};
  for (int expert = 0; expert < shape.num_experts; ++expert) {
    const LinearSource up(shape.hidden, act, {{2 * shape.ffn, act, shape.bias}}, 2 * expert);
    const LinearSource down(shape.ffn, act, {{shape.hidden, act, shape.bias}}, 2 * expert + 1);
    spec.gate_up.push_back(ops.MakeLinear(up.spec()).value());
    spec.down.push_back(ops.MakeLinear(down.spec()).value());
  }
  return ops.MakeExperts(std::move(spec)).value();
}

// Rows, and the experts that they are sent to.
struct ExpertsInput {
  ExpertsInput(const ExpertsShape& shape, DType act, int64_t rows, uint32_t seed)
      : x(act, rows, shape.hidden, shape.hidden + 8), weights(DType::kFloat32, rows, shape.top_k) {
    std::mt19937 random(seed);
    x.FillNormal(seed);
    weights.FillNormal(seed + 1);
    std::vector<int32_t> all(shape.num_experts);
    std::iota(all.begin(), all.end(), 0);
    for (int64_t r = 0; r < rows; ++r) {
      std::shuffle(all.begin(), all.end(), random);
      // One expert is everyone's, so that loads differ.
      std::iter_swap(all.begin() + random() % shape.top_k, std::find(all.begin(), all.end(), 2));
      ids.insert(ids.end(), all.begin(), all.begin() + shape.top_k);
    }
  }
  DeviceArray<const int32_t> Ids(int64_t row, int64_t rows) const {
    const int64_t k = weights.view().cols;
    return {ids.data() + row * k, rows * k};
  }

  HostMatrix x;
  HostMatrix weights;
  std::vector<int32_t> ids;
};

inline HostMatrix ApplyExperts(Ops& ops, const Experts& experts, const ExpertsInput& input,
                               int64_t row, int64_t rows) {
  HostMatrix out(DType::kFloat32, rows, input.x.view().cols, input.x.view().cols + 3);
  ops.ApplyExperts(experts, input.x.view().Rows(row, rows), input.Ids(row, rows),
                   input.weights.view().Rows(row, rows), out.view());
  return out;
}

// Numbers are of the size 1, or of their sum's; those of the two intermediate results that are
// rounded to bf16 may be rounded apart, and add up at random.
inline ::testing::AssertionResult NearExperts(const HostMatrix& got, const HostMatrix& want,
                                              DType act, int top_k) {
  const double unit = act == DType::kBFloat16 ? 0x1p-8 : 0x1p-21;
  return Near(got, want, [&](int64_t r, int64_t c) {
    return 8 * unit * std::sqrt(static_cast<double>(top_k)) *
           std::max(1.0, std::fabs(double{want.at(r, c)}));
  });
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_OPS_EXPERTS_HARNESS_H_
