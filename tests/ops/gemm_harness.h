// Weights of products, as emulated kernels and as the reference take them.
#ifndef QUIRE_TESTS_OPS_GEMM_HARNESS_H_
#define QUIRE_TESTS_OPS_GEMM_HARNESS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "ops/cuda/gemm_shape.cuh"
#include "ops/ops.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire::testing {

// visit(shape) for all of them that T has.
template <typename T, typename Visit>
void ForEachGemmShape(Visit visit) {
  visit(cuda_emulated::GemmShape8());
  visit(cuda_emulated::GemmShape16());
  visit(cuda_emulated::GemmShape32());
  visit(cuda_emulated::GemmShapeNarrow());
  visit(cuda_emulated::GemmShapeMiddle());
  if constexpr (sizeof(T) == 2) visit(cuda_emulated::GemmShapeWide());
}

// Threads in the order of their indices, or shuffled and in three blocks at a time.
inline emulation::EmulationOptions GemmEmulation(uint32_t seed) {
  return {.seed = seed, .resident_blocks = seed == 0 ? 1 : 3};
}

// W [N, K] of act with rows `gap` numbers apart, and maybe b. Global memory as long as it lives.
class GemmWeight {
 public:
  GemmWeight(DType act, int64_t n, int64_t k, bool bias, int64_t gap = 0, uint32_t seed = 1)
      : source_(k, act, {{n, act, bias}}, seed), matrix_(act, n, k, k + gap) {
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t i = 0; i < k; ++i) matrix_.set(row, i, source_.weight(row, i));
    }
    memory_.emplace("weight", matrix_.view(), EmulatedMatrix::kInput);
    if (!bias) return;
    std::vector<float> wide;
    const DeviceMatrix stored{const_cast<void*>(source_.spec().parts[0].bias), act, 1, n, n};
    for (int64_t i = 0; i < n; ++i) wide.push_back(LoadElement(stored, 0, i));
    bias_.emplace("bias", wide);
  }

  const LinearSource& source() const { return source_; }
  const DeviceMatrix& matrix() const { return matrix_.view(); }
  const float* bias() const { return bias_.has_value() ? bias_->data() : nullptr; }

  // Whether `got` is x W^T + b.
  ::testing::AssertionResult IsProduct(Ops& reference, const HostMatrix& x,
                                       const HostMatrix& got) const {
    const DeviceMatrix& y = got.view();
    const auto linear = reference.MakeLinear(source_.spec()).value();
    const HostMatrix want(y.dtype, y.rows, y.cols, y.row_stride);
    reference.Apply(*linear, x.view(), want.view());
    return NearProduct(source_, x, got, want);
  }

 private:
  LinearSource source_;
  HostMatrix matrix_;
  std::optional<EmulatedMatrix> memory_;
  std::optional<emulation::GlobalBuffer<float>> bias_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_OPS_GEMM_HARNESS_H_
