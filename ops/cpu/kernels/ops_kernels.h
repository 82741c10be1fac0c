// What the CPU ops compute, compiled once per instruction set: plain functions over plain pointers,
// reached through a table. See core/cpu/simd/vec.h for the rules of such files.
//
// Letters: M rows of a product, N and K its output and input features; P elements in 4 bytes (2 for
// bf16, 1 for fp32); E the width of a row. Strides in elements.
#ifndef QUIRE_OPS_CPU_KERNELS_OPS_KERNELS_H_
#define QUIRE_OPS_CPU_KERNELS_OPS_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "core/cpu/simd/element_type.h"
#include "ops/op_kinds.h"

namespace quire {

// A packed weight is panels of 64 output features: [N / 64][K / P][64][P], N padded to 64 and K to
// 64 bytes by zeros. It is the layout of oneDNN's weights on AVX-512, a right-hand side that tiles
// read in order and GEMV streams, and it is the same for every M.
inline constexpr int64_t kPanelColumns = 64;

// Sums run in fp32 over chunks of K, and the chunks' sums are added in order: 512 where K <= 1024,
// else 1024. It is oneDNN's order, and it bounds both rounding and the working set.
inline constexpr int64_t SumChunk(int64_t in_features) { return in_features <= 1024 ? 512 : 1024; }

// x [M, K] as a tile takes its left-hand side: blocks of at most kTileRows rows, of nearly equal
// size, block i covering rows [M i / n, M (i + 1) / n); each block [K, rows] interleaved, in fp32
// or, where the kernels multiply bf16 pairs, [K / 2, rows] pairs. K padded to the weight's by
// zeros.
struct PackRowsArgs {
  const void* x;  // [rows, K] act
  int64_t x_stride;
  int64_t in_features;
  int64_t padded_features;
  int rows;  // of one block
  float* packed;
};

// y[rows of blocks [block_begin, block_end), one panel's columns] = x W^T + b.
inline constexpr int64_t kWidenedRows = 128;

struct PanelGemmArgs {
  const float* packed_rows;  // of all M rows
  int64_t rows;              // M
  int64_t num_blocks;
  int64_t block_begin;
  int64_t block_end;
  int64_t in_features;
  int64_t padded_features;
  const void* panel;       // [K / P][64][P]
  const void* next_panel;  // that this thread will likely take next: asked for ahead
  int64_t columns;         // of the panel that are real, in [1, 64]
  const float* bias;       // [columns] or null
  void* y;                 // [M, columns] at row 0: act or fp32
  int64_t y_stride;
  ElementType y_type;
  float* sums;     // scratch [rows of the blocks, 64]
  float* chain;    // scratch [rows of the blocks, 64]
  float* widened;  // scratch [kWidenedRows, 64]
};

// y = sums + b, rounded: what ends a product whose sums came from elsewhere.
struct FinishArgs {
  const float* sums;  // [rows, sums_stride]
  int64_t sums_stride;
  int64_t rows;
  int64_t columns;
  const float* bias;  // [columns] or null
  void* y;
  int64_t y_stride;
  ElementType y_type;
};

// Up to 64 source rows, one panel.
struct PackPanelArgs {
  const void* const* rows;   // [count] pointers to [K] elements each
  const ElementType* types;  // [count]
  int64_t count;
  int64_t in_features;
  int64_t padded_features;
  void* panel;
};

// Rows [row, row + rows) and columns [col, col + cols) of a weight that is not plain rows; see
// ops/weight_rows.h. Of MXFP4, col and cols are multiples of 32.
struct ExpandArgs {
  const void* weight;
  ElementType type;
  int64_t row_stride;
  int64_t col_stride;
  const uint8_t* mxfp4_scales;  // or null
  int64_t row;
  int64_t col;
  int64_t rows;
  int64_t cols;
  void* out;  // [rows, cols] fp32 or bf16
  int64_t out_stride;
};

struct NormRowsArgs {
  NormKind kind;
  void* x;  // [rows, E]; written where delta is given or into_x
  int64_t x_stride;
  ElementType x_type;  // fp32 where it is written
  const void* delta;   // [rows, E] or null: x += delta_scale * delta first
  int64_t delta_stride;
  ElementType delta_type;
  float delta_scale;
  const float* weight;  // [E] or null: ones
  const float* bias;    // [E] or null: zeros
  float eps;
  bool into_x;  // the result goes into x too
  void* out;    // [rows, E]; may be x
  int64_t out_stride;
  ElementType out_type;
  int64_t rows;
  int64_t width;
};

struct ActivationArgs {
  ActivationParams params;
  bool gated;
  const void* x;  // [rows, F], or where gated [rows, 2 F]: gate, up
  int64_t x_stride;
  void* out;  // [rows, F]; may be x where not gated
  int64_t out_stride;
  ElementType type;
  int64_t rows;
  int64_t width;  // F
};

// out += scale * sigmoid(gate) * x.
struct AddScaledArgs {
  const void* x;  // [rows, E]
  int64_t x_stride;
  ElementType x_type;
  float scale;
  const void* gate;  // [rows, 1] or null: no such factor
  int64_t gate_stride;
  ElementType gate_type;
  float* out;  // [rows, E]
  int64_t out_stride;
  int64_t rows;
  int64_t width;
};

// out = scale * row, or out += it.
struct EmbedRowArgs {
  float scale;
  bool accumulate;
  int64_t width;
  float* out;
};

struct RouteArgs {
  const float* logits;  // [rows, X]
  int64_t logits_stride;
  int64_t rows;
  int num_experts;  // X
  int top_k;        // k
  Scoring scoring;
  bool normalise;
  float scale;
  int num_groups;
  int top_groups;
  GroupScore group_score;
  const float* correction_bias;  // [X] or null
  int32_t* ids;                  // [rows, k]
  float* weights;                // [rows, k]
  int64_t weights_stride;
};

// out = sum over j of weights[j] * x[positions[j]], in the order of j.
struct CombineArgs {
  const float* x;  // [., E]
  int64_t x_stride;
  const int32_t* positions;  // [k]
  const float* weights;      // [k]
  int count;                 // k
  float* out;                // [E]
  int64_t width;
};

// Where two functions stand, [0] takes fp32 weights and activations, [1] bf16.
struct OpsKernels {
  int tile_rows;     // the most rows of a block of packed rows
  bool packs_pairs;  // bf16 rows are packed as pairs, half the size of fp32
  void (*pack_rows[2])(const PackRowsArgs&);
  void (*gemm[2])(const PanelGemmArgs&);
  void (*pack_panel[2])(const PackPanelArgs&);
  void (*expand[2])(const ExpandArgs&);
  void (*finish)(const FinishArgs&);
  // Of a column of a panel: one output feature's weights.
  void (*embed_column[2])(const void* panel, int64_t column, const EmbedRowArgs&);
  void (*embed_row)(const void* in, ElementType in_type, const EmbedRowArgs&);
  void (*normalise)(const NormRowsArgs&);
  void (*activate)(const ActivationArgs&);
  void (*add_scaled)(const AddScaledArgs&);
  // x [width] = cap tanh(scale x / cap), or scale x where cap is 0.
  void (*softcap)(float* x, int64_t width, float scale, float cap);
  void (*route)(const RouteArgs&);
  void (*combine)(const CombineArgs&);
  // out [width] = in [width] in another type; out is fp32 or bf16.
  void (*copy_row)(const void* in, ElementType in_type, int64_t width, void* out,
                   ElementType out_type);
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_KERNELS_OPS_KERNELS_H_
