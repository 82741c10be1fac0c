// Products y = x W^T + b: a block owns some features of some rows of y, and reads those rows of W
// and x over all of K. 2 M FLOPs per number of W: memory-bound for less than about 100 rows, and
// then W is read once; beyond, mma.sync binds. Shapes and the order of sums: gemm_shape.cuh.
#ifndef QUIRE_OPS_CUDA_GEMM_CUH_
#define QUIRE_OPS_CUDA_GEMM_CUH_

#include <cstdint>
#include <type_traits>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/gemm_args.h"
#include "ops/cuda/gemm_shape.cuh"
#include "ops/cuda/gemm_tile.cuh"

namespace quire::QUIRE_CUDA_TARGET {

template <typename T>
struct GemmParams {
  GemmOperands<T> operands;
  int rows;          // M
  int token_blocks;  // neighbours share rows of W
};

// Block BlockX() of `rows` rows.
template <typename T, typename Shape>
QUIRE_DEVICE void RunGemmBlock(const GemmOperands<T>& operands, int rows, int token_blocks) {
  const int first_token = static_cast<int>(BlockX() % token_blocks) * Shape::kTokens;
  const int left = rows - first_token;
  const GemmPart part{.first_feature = static_cast<int>(BlockX() / token_blocks) * Shape::kRows,
                      .first_token = first_token,
                      .tokens = left < Shape::kTokens ? left : Shape::kTokens};
  SharedMemory memory;
  GemmTile<T, Shape> tile(operands, part, memory);
  tile.BeginWeights();
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  tile.BeginTokens();
  tile.Multiply();
  tile.Store();
}

template <typename T, typename Shape>
QUIRE_KERNEL(Shape::kMaxThreads, Shape::kMinBlocks)
void GemmKernel(GemmParams<T> p) {
  RunGemmBlock<T, Shape>(p.operands, p.rows, p.token_blocks);
}

// What plain and grouped products have in common.
template <typename T, typename Args>
GemmOperands<T> OperandsOf(const Args& args) {
  GemmOperands<T> operands{};
  operands.n = static_cast<int>(args.y.cols);
  operands.k = static_cast<int>(args.x.cols);
  operands.x = Global<const T>(static_cast<const T*>(args.x.data));
  operands.x_rows = static_cast<int>(args.x.rows);
  operands.x_stride = static_cast<int>(args.x.row_stride);
  operands.x_aligned = HasAlignedRows(args.x);
  if (args.y.dtype == DType::kFloat32) {
    operands.y_float = Global<float>(static_cast<float*>(args.y.data));
  } else {
    operands.y = Global<T>(static_cast<T*>(args.y.data));
  }
  operands.y_stride = args.y.row_stride;
  operands.y_aligned = HasAlignedRows(args.y);
  return operands;
}

// Of a single row of W too: the rows behind the last one are not read, but they have addresses.
template <typename T>
bool HasAlignedStride(int64_t stride) {
  return stride * static_cast<int64_t>(sizeof(T)) % 16 == 0;
}

template <typename Shape>
LaunchShape GemmLaunchShape(const char* name, int64_t token_blocks, int64_t n, int k) {
  return {.name = name,
          .grid = {.x = token_blocks * Shape::RowBlocks(n)},
          .threads = Shape::Threads(k),
          .shared_bytes = Shape::SharedBytes(k),
          .overlaps_earlier = true};
}

template <typename T, typename Shape>
GemmParams<T> GemmParamsOf(const GemmArgs& args) {
  GemmParams<T> params{.operands = OperandsOf<T>(args),
                       .rows = static_cast<int>(args.x.rows),
                       .token_blocks = static_cast<int>(Shape::TokenBlocks(args.x.rows))};
  params.operands.weight = Global<const T>(static_cast<const T*>(args.weight.data));
  params.operands.weight_stride = static_cast<int>(args.weight.row_stride);
  params.operands.weight_aligned =
      IsAligned(args.weight.data) && HasAlignedStride<T>(args.weight.row_stride);
  params.operands.bias = Global<const float>(args.bias);
  return params;
}

template <typename T, typename Shape, typename Launcher>
void LaunchGemmOf(Launcher& launcher, const GemmArgs& args) {
  const GemmParams<T> params = GemmParamsOf<T, Shape>(args);
  launcher.Launch(
      GemmLaunchShape<Shape>("gemm", params.token_blocks, params.operands.n, params.operands.k),
      &GemmKernel<T, Shape>, params);
}

// visit(act(), GemmShape<...>()) with what suits `products` products of M rows by such a weight.
template <typename Launcher, typename Args, typename Visit>
void VisitGemmForm(const Launcher& launcher, int64_t products, int64_t m, const Args& args,
                   Visit visit) {
  const auto visit_shape = [&](auto act) {
    constexpr bool kWithWide = std::is_same_v<decltype(act), bf16>;
    VisitGemmShape<kWithWide>(products, m, args.y.cols, static_cast<int>(args.x.cols),
                              launcher.max_shared_bytes(), [&](auto shape) { visit(act, shape); });
  };
  if (args.x.dtype == DType::kBFloat16) {
    visit_shape(bf16());
  } else {
    visit_shape(0.0F);
  }
}

// args.x.rows of them; args.x.dtype is act.
template <typename Launcher>
void LaunchGemm(Launcher& launcher, const GemmArgs& args) {
  VisitGemmForm(launcher, /*products=*/1, args.x.rows, args, [&](auto act, auto shape) {
    LaunchGemmOf<decltype(act), decltype(shape)>(launcher, args);
  });
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_GEMM_CUH_
