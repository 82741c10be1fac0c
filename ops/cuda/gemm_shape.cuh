// How a product y = x W^T is cut: K by the law of sums, the rest to keep a multiprocessor busy.
//
// The law: K is cut into slices by K alone. A slice's products are added up in the order of k, from
// zero (by mma, 16 at a time; in fp32 one by one); the slices' sums are added in their order; then
// comes the bias, then one rounding. So a number of y has the same bits whatever shape of block
// makes it and whoever shares it, and shapes are chosen freely.
#ifndef QUIRE_OPS_CUDA_GEMM_SHAPE_CUH_
#define QUIRE_OPS_CUDA_GEMM_SHAPE_CUH_

#include <cstddef>
#include <cstdint>

#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// A tile has this of K in each row: 64 numbers of bf16, 32 of fp32.
inline constexpr int kGemmTileBytes = 128;

// Slices are whole tiles of either type, of 256 numbers at least as long as there are fewer than 8.
inline constexpr int kMaxGemmSlices = 8;
constexpr int GemmSliceLength(int k) {
  constexpr int kShortest = 256, kUnit = 64;
  int64_t slices = CeilDiv(k, kShortest);
  if (slices > kMaxGemmSlices) slices = kMaxGemmSlices;
  return static_cast<int>(CeilDiv(CeilDiv(k, slices), kUnit) * kUnit);
}
constexpr int GemmSlices(int k) { return static_cast<int>(CeilDiv(k, GemmSliceLength(k))); }

// A block makes kRows features of kTokens rows of y. Its warps form groups of kRowWarps x
// kTokenWarps, each with a tile of kRowTiles x kTokenTiles products of 16 features by 8 tokens; a
// group walks over K through kStages tiles of shared memory. Groups of one warp are as many as
// there are slices, each with its own; a larger group is alone and takes slice after slice.
template <int kRowTilesV, int kTokenTilesV, int kRowWarpsV, int kTokenWarpsV, int kStagesV,
          int kMinBlocksV>
struct GemmShape {
  static constexpr int kRowTiles = kRowTilesV;
  static constexpr int kTokenTiles = kTokenTilesV;
  static constexpr int kRowWarps = kRowWarpsV;
  static constexpr int kTokenWarps = kTokenWarpsV;
  static constexpr int kStages = kStagesV;
  static constexpr int kMinBlocks = kMinBlocksV;  // that share a multiprocessor

  static constexpr int kWarpRows = 16 * kRowTiles;
  static constexpr int kWarpTokens = 8 * kTokenTiles;
  static constexpr int kRows = kWarpRows * kRowWarps;
  static constexpr int kTokens = kWarpTokens * kTokenWarps;
  static constexpr int kGroupThreads = kRowWarps * kTokenWarps * kWarpLanes;
  static constexpr bool kSplitsSlices = kGroupThreads == kWarpLanes;
  static constexpr int kMaxThreads = kGroupThreads * (kSplitsSlices ? kMaxGemmSlices : 1);
  static constexpr int kGroupBytes = kStages * (kRows + kTokens) * kGemmTileBytes;

  static constexpr int Groups(int k) { return kSplitsSlices ? GemmSlices(k) : 1; }
  static constexpr int Threads(int k) { return kGroupThreads * Groups(k); }
  static constexpr size_t SharedBytes(int k) { return size_t{kGroupBytes} * Groups(k); }
  static constexpr int64_t RowBlocks(int64_t n) { return CeilDiv(n, kRows); }
  static constexpr int64_t TokenBlocks(int64_t m) { return CeilDiv(m, kTokens); }
};

// Few tokens: the weights stream, and what counts is the bytes under way: W of 96, 64 and 64 KiB a
// multiprocessor of 227. (Shared memory is that of 8 slices.)
using GemmShape8 = GemmShape<1, 1, 1, 1, 4, 2>;   //  16 x   8,  96 KiB
using GemmShape16 = GemmShape<2, 2, 1, 1, 3, 1>;  //  32 x  16, 144 KiB
using GemmShape32 = GemmShape<2, 4, 1, 1, 3, 1>;  //  32 x  32, 192 KiB
// Many tokens: what counts is how often x and W are read again from L2, and that there are blocks
// for all multiprocessors.
using GemmShapeNarrow = GemmShape<1, 4, 2, 2, 5, 3>;  //  32 x  64,  60 KiB
using GemmShapeMiddle = GemmShape<2, 4, 2, 2, 6, 2>;  //  64 x  64,  96 KiB
using GemmShapeWide = GemmShape<2, 8, 4, 2, 4, 1>;    // 128 x 128, 128 KiB
static_assert(GemmShape8::kGroupBytes * kMaxGemmSlices <= kLeastSharedBytes);

// About the multiprocessors of one GPU: a shape that gives fewer blocks leaves some idle.
inline constexpr int64_t kBusyBlocks = 128;

// visit(GemmShape<...>()) with the shape for `products` of M rows by [N, K] whose blocks have up to
// `max_shared_bytes`.
template <bool kWithWide, typename Visit>
void VisitGemmShape(int64_t products, int64_t m, int64_t n, int k, size_t max_shared_bytes,
                    Visit visit) {
  const auto fits = [&](auto shape) { return shape.SharedBytes(k) <= max_shared_bytes; };
  const auto is_busy = [&](auto shape) {
    return fits(shape) && products * shape.RowBlocks(n) * shape.TokenBlocks(m) >= kBusyBlocks;
  };
  if constexpr (kWithWide) {
    if (m > GemmShapeMiddle::kTokens && is_busy(GemmShapeWide())) return visit(GemmShapeWide());
  }
  if (m > GemmShape32::kTokens && is_busy(GemmShapeMiddle())) return visit(GemmShapeMiddle());
  if (m > GemmShape32::kTokens && is_busy(GemmShapeNarrow())) return visit(GemmShapeNarrow());
  if (m > GemmShape16::kTokens && fits(GemmShape32())) return visit(GemmShape32());
  if (m > GemmShape8::kTokens && fits(GemmShape16())) return visit(GemmShape16());
  return visit(GemmShape8());
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_GEMM_SHAPE_CUH_
