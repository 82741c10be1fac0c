// The products of an expert layer: rows sorted by expert, each expert's with its own W and b. A
// block owns some features of some rows of one expert, as in gemm.cuh. The host does not know how
// the rows fall to experts: there are blocks for the worst case, and those without work leave.
#ifndef QUIRE_OPS_CUDA_GROUPED_GEMM_CUH_
#define QUIRE_OPS_CUDA_GROUPED_GEMM_CUH_

#include <cstdint>

#include "core/ceil_div.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/gemm.cuh"
#include "ops/cuda/gemm_args.h"
#include "ops/cuda/gemm_shape.cuh"
#include "ops/cuda/gemm_tile.cuh"

namespace quire::QUIRE_CUDA_TARGET {

template <typename T>
struct GroupedGemmParams {
  GemmOperands<T> operands;  // without weight and bias
  int rows;                  // R
  int num_experts;           // X
  int token_blocks;
  Global<const int32_t> expert_start;
  Global<const void* const> weights;
  Global<const float* const> biases;  // or null
};

struct ExpertRows {
  int expert;  // none where it is below 0
  int begin, end;
};

// The `index`-th piece of at most kTokens rows of one expert, counted from expert 0. Each warp
// finds it for itself: its lanes count the pieces of neighbouring experts, as many each, and the
// one that has it looks again.
template <int kTokens>
QUIRE_DEVICE ExpertRows FindExpertRows(Global<const int32_t> expert_start, int num_experts,
                                       int rows, int index) {
  const int per_lane = static_cast<int>(CeilDiv(num_experts, kWarpLanes));
  const int first = LaneIndex() * per_lane;
  const int last = first + per_lane < num_experts ? first + per_lane : num_experts;
  int pieces = 0;  // of this lane's experts
  bool in_order = true;
  for (int expert = first; expert < last; ++expert) {
    const int begin = expert_start.Load(expert), end = expert_start.Load(expert + 1);
    in_order = in_order && 0 <= begin && begin <= end && end <= rows;
    pieces += static_cast<int>(CeilDiv(end - begin, kTokens));
  }
  DeviceCheck(in_order);
  int through = pieces;  // those of the lanes before too
  QUIRE_UNROLL
  for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) {
    const int more = ShuffleUp(through, lanes);
    if (LaneIndex() >= lanes) through += more;
  }
  int piece = index - (through - pieces);
  const bool is_here = piece >= 0 && piece < pieces;
  if (!AnyLane(is_here)) return {.expert = -1, .begin = 0, .end = 0};
  ExpertRows found{.expert = 0, .begin = 0, .end = 0};
  for (int expert = first; is_here && expert < last; ++expert) {
    const int begin = expert_start.Load(expert), end = expert_start.Load(expert + 1);
    const int own = static_cast<int>(CeilDiv(end - begin, kTokens));
    if (piece < own) {
      const int row = begin + piece * kTokens;
      found = {.expert = expert, .begin = row, .end = row + kTokens < end ? row + kTokens : end};
      break;
    }
    piece -= own;
  }
  // Of one lane, and zeros.
  return {.expert = WarpReduce(found.expert, Plus()),
          .begin = WarpReduce(found.begin, Plus()),
          .end = WarpReduce(found.end, Plus())};
}

template <typename T, typename Shape>
QUIRE_KERNEL(Shape::kMaxThreads, Shape::kMinBlocks)
void GroupedGemmKernel(GroupedGemmParams<T> p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const ExpertRows rows = FindExpertRows<Shape::kTokens>(
      p.expert_start, p.num_experts, p.rows, static_cast<int>(BlockX() % p.token_blocks));
  if (rows.expert < 0) return;  // the whole block
  GemmOperands<T> operands = p.operands;
  operands.weight = Global<const T>(static_cast<const T*>(p.weights.Load(rows.expert)));
  operands.weight_aligned = operands.weight_aligned && IsAligned(operands.weight.data());
  if (!p.biases.is_null()) operands.bias = Global<const float>(p.biases.Load(rows.expert));
  const GemmPart part{.first_feature = static_cast<int>(BlockX() / p.token_blocks) * Shape::kRows,
                      .first_token = rows.begin,
                      .tokens = rows.end - rows.begin};
  SharedMemory memory;
  GemmTile<T, Shape> tile(operands, part, memory);
  tile.BeginWeights();
  tile.BeginTokens();
  tile.Multiply();
  tile.Store();
}

template <typename T, typename Shape, typename Launcher>
void LaunchGroupedGemmOf(Launcher& launcher, const GroupedGemmArgs& args) {
  const int64_t rows = args.y.rows, num_experts = args.expert_start.size - 1;
  // Of the pieces of `used` experts all but the last ones are full.
  const int64_t used = rows < num_experts ? rows : num_experts;
  GroupedGemmParams<T> params{
      .operands = OperandsOf<T>(args),
      .rows = static_cast<int>(rows),
      .num_experts = static_cast<int>(num_experts),
      .token_blocks = static_cast<int>(used + (rows - used) / Shape::kTokens),
      .expert_start = Global<const int32_t>(args.expert_start.data),
      .weights = Global<const void* const>(args.weights),
      .biases = Global<const float* const>(args.biases),
  };
  params.operands.source_row = Global<const int32_t>(args.source_row.data);
  params.operands.weight_stride = static_cast<int>(args.weight_stride);
  params.operands.weight_aligned = HasAlignedStride<T>(args.weight_stride);
  launcher.Launch(GemmLaunchShape<Shape>("grouped gemm", params.token_blocks, params.operands.n,
                                         params.operands.k),
                  &GroupedGemmKernel<T, Shape>, params);
}

// args.y.rows of them; args.x.dtype is act.
template <typename Launcher>
void LaunchGroupedGemm(Launcher& launcher, const GroupedGemmArgs& args) {
  const int64_t rows = args.y.rows, num_experts = args.expert_start.size - 1;
  if (rows == 0 || num_experts == 0) return;
  // What most experts have, where the average is two thirds of it.
  const int64_t tokens = CeilDiv(3 * rows, 2 * num_experts);
  VisitGemmForm(launcher, rows < num_experts ? rows : num_experts, tokens, args,
                [&](auto act, auto shape) {
                  LaunchGroupedGemmOf<decltype(act), decltype(shape)>(launcher, args);
                });
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_GROUPED_GEMM_CUH_
