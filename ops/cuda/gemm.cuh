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

template <typename T, typename Shape>
QUIRE_KERNEL(Shape::kMaxThreads, Shape::kMinBlocks)
void GemmKernel(GemmParams<T> p) {
  const int row_block = static_cast<int>(BlockX() / p.token_blocks);
  const int first_token = static_cast<int>(BlockX() % p.token_blocks) * Shape::kTokens;
  const int left = p.rows - first_token;
  const GemmPart part{.first_feature = row_block * Shape::kRows,
                      .first_token = first_token,
                      .tokens = left < Shape::kTokens ? left : Shape::kTokens};
  SharedMemory memory;
  GemmTile<T, Shape> tile(p.operands, part, memory);
  tile.BeginWeights();
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  tile.BeginTokens();
  tile.Multiply();
  tile.Store();
}

// What plain and grouped products have in common.
template <typename T, typename Args>
GemmOperands<T> OperandsOf(const Args& args) {
  GemmOperands<T> operands{};
  operands.n = static_cast<int>(args.y.cols);
  operands.k = static_cast<int>(args.x.cols);
  operands.x = Global<const T>(static_cast<const T*>(args.x.data));
  operands.x_rows = static_cast<int>(args.x.rows);
  operands.x_stride = args.x.row_stride;
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

template <typename Shape>
LaunchShape GemmLaunchShape(const char* name, int64_t token_blocks, int64_t n, int k) {
  return {.name = name,
          .grid = {.x = token_blocks * Shape::RowBlocks(n)},
          .threads = Shape::Threads(k),
          .shared_bytes = Shape::SharedBytes(k),
          .overlaps_earlier = true};
}

template <typename T, typename Shape, typename Launcher>
void LaunchGemmOf(Launcher& launcher, const GemmArgs& args) {
  GemmParams<T> params{.operands = OperandsOf<T>(args),
                       .rows = static_cast<int>(args.x.rows),
                       .token_blocks = static_cast<int>(Shape::TokenBlocks(args.x.rows))};
  params.operands.weight = Global<const T>(static_cast<const T*>(args.weight.data));
  params.operands.weight_stride = args.weight.row_stride;
  params.operands.weight_aligned = HasAlignedRows(args.weight);
  params.operands.bias = Global<const float>(args.bias);
  launcher.Launch(
      GemmLaunchShape<Shape>("gemm", params.token_blocks, params.operands.n, params.operands.k),
      &GemmKernel<T, Shape>, params);
}

// args.x.rows of them; args.x.dtype is act.
template <typename Launcher>
void LaunchGemm(Launcher& launcher, const GemmArgs& args) {
  const auto launch = [&]<typename T>(T /*act*/) {
    constexpr bool kWithWide = std::is_same_v<T, bf16>;
    VisitGemmShape<kWithWide>(
        /*products=*/1, args.x.rows, args.y.cols, static_cast<int>(args.x.cols),
        args.max_shared_bytes,
        [&](auto shape) { LaunchGemmOf<T, decltype(shape)>(launcher, args); });
  };
  if (args.x.dtype == DType::kBFloat16) {
    launch(bf16());
  } else {
    launch(0.0F);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_GEMM_CUH_
