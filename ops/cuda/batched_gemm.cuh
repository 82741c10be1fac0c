// Several products of one shape that do not read each other's results (the heads of latent
// attention): the blocks of each are those of gemm.cuh, and a launch has kMaxBatchedGemms at most.
#ifndef QUIRE_OPS_CUDA_BATCHED_GEMM_CUH_
#define QUIRE_OPS_CUDA_BATCHED_GEMM_CUH_

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/gemm.cuh"
#include "ops/cuda/gemm_args.h"
#include "ops/cuda/gemm_shape.cuh"
#include "ops/cuda/gemm_tile.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kMaxBatchedGemms = 64;

// What is a product's own.
template <typename T>
struct GemmPointers {
  Global<const T> x;
  Global<const T> weight;
  Global<const float> bias;
  Global<T> y;
  Global<float> y_float;
};

template <typename T>
struct BatchedGemmParams {
  GemmParams<T> common;
  GemmPointers<T> products[kMaxBatchedGemms];
};

// Block (i, p): the i-th block of product p.
template <typename T, typename Shape>
QUIRE_KERNEL(Shape::kMaxThreads, Shape::kMinBlocks)
void BatchedGemmKernel(const QUIRE_GRID_CONSTANT BatchedGemmParams<T> p) {
  const GemmPointers<T>& own = p.products[BlockY()];
  GemmOperands<T> operands = p.common.operands;
  operands.x = own.x;
  operands.weight = own.weight;
  operands.bias = own.bias;
  operands.y = own.y;
  operands.y_float = own.y_float;
  RunGemmBlock<T, Shape>(operands, p.common.rows, p.common.token_blocks);
}

// Whether one launch can make both.
inline bool AreAlike(const GemmArgs& a, const GemmArgs& b) {
  const auto alike = [](const DeviceMatrix& m, const DeviceMatrix& n) {
    return m.dtype == n.dtype && m.rows == n.rows && m.cols == n.cols &&
           m.row_stride == n.row_stride && HasAlignedRows(m) == HasAlignedRows(n);
  };
  return alike(a.x, b.x) && alike(a.weight, b.weight) && alike(a.y, b.y);
}

// `products` are alike, and at most kMaxBatchedGemms.
template <typename T, typename Shape, typename Launcher>
void LaunchBatchedGemmOf(Launcher& launcher, std::span<const GemmArgs> products) {
  BatchedGemmParams<T> params{};
  params.common = GemmParamsOf<T, Shape>(products[0]);
  for (size_t i = 0; i < products.size(); ++i) {
    const GemmOperands<T> operands = GemmParamsOf<T, Shape>(products[i]).operands;
    params.products[i] = {operands.x, operands.weight, operands.bias, operands.y, operands.y_float};
  }
  const GemmOperands<T>& operands = params.common.operands;
  LaunchShape shape =
      GemmLaunchShape<Shape>("batched gemm", params.common.token_blocks, operands.n, operands.k);
  shape.grid.y = static_cast<int64_t>(products.size());
  launcher.Launch(shape, &BatchedGemmKernel<T, Shape>, params);
}

// All of them, to the bits of LaunchGemm. No y overlaps an x or another y. Neighbours that are
// alike share a launch.
template <typename Launcher>
void LaunchBatchedGemm(Launcher& launcher, std::span<const GemmArgs> products) {
  while (!products.empty()) {
    size_t count = 1;
    while (count < products.size() && count < kMaxBatchedGemms &&
           AreAlike(products[0], products[count])) {
      ++count;
    }
    const auto alike = products.first(count);
    VisitGemmForm(launcher, static_cast<int64_t>(count), alike[0].x.rows, alike[0],
                  [&](auto act, auto shape) {
                    LaunchBatchedGemmOf<decltype(act), decltype(shape)>(launcher, alike);
                  });
    products = products.subspan(count);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_BATCHED_GEMM_CUH_
