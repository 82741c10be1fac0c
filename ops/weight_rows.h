// Weights as checkpoints store them, in host memory.
#ifndef QUIRE_OPS_WEIGHT_ROWS_H_
#define QUIRE_OPS_WEIGHT_ROWS_H_

#include <cstdint>

#include "core/dtype.h"

namespace quire {

// Numbers that share a scale in MXFP4 (OCP Microscaling Formats, 2023).
inline constexpr int64_t kMxfp4Block = 32;

// Some output features of a weight: element [row, col], of output feature `row` and input feature
// `col`, is number row * row_stride + col * col_stride.
//
//   stored as                          row_stride   col_stride   weight
//   [out, in]                          in           1            the first
//   [in, out] (GPT-2's Conv1D)         1            out          the first
//   [in, 2 F], gate and up in turns    2            2 F          gate: the first; up: the second
//   MXFP4 [2 F, in], in turns          2 in         1            the first of row 0 or row 1
//
// In MXFP4 two numbers of type e2m1 share a byte, the low half first, and each 32 numbers along
// `in` have a scale 2^(s - 127); then weight and mxfp4_scales point to the bytes of the first
// block.
struct WeightRows {
  const void* weight = nullptr;
  DType weight_dtype = DType::kBFloat16;  // not of MXFP4
  int64_t out_features = 0;
  const void* bias = nullptr;  // [out_features], or null: zeros
  DType bias_dtype = DType::kBFloat16;
  int64_t row_stride = 0;  // 0: in_features
  int64_t col_stride = 1;
  int64_t bias_stride = 1;
  const uint8_t* mxfp4_scales = nullptr;

  // Whether rows are contiguous and of a plain type.
  bool is_plain() const { return col_stride == 1 && mxfp4_scales == nullptr; }
  int64_t RowStride(int64_t in_features) const {
    return row_stride == 0 ? in_features : row_stride;
  }
};

// One element: for references and tests.
float LoadWeight(const WeightRows& rows, int64_t in_features, int64_t row, int64_t col);

}  // namespace quire

#endif  // QUIRE_OPS_WEIGHT_ROWS_H_
