// What the host tells the products of ops.h. Pointers are device pointers; shapes are checked
// already (ops/op_checks.h).
#ifndef QUIRE_OPS_CUDA_GEMM_ARGS_H_
#define QUIRE_OPS_CUDA_GEMM_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"

namespace quire {

// y = x W^T + b. Rows that begin at multiples of 16 bytes are loaded faster, to the same bits. W is
// read while the kernel before may still run: none in the queue writes it. Strides are below 2^31.
struct GemmArgs {
  DeviceMatrix x;               // act [M, K], K > 0
  DeviceMatrix weight;          // act [N, K]
  const float* bias = nullptr;  // [N], or null
  DeviceMatrix y;               // act or fp32 [M, N], overlaps nothing of the above
};

// y[r] = x[source_row[r]] W_e^T + b_e for the rows [expert_start[e], expert_start[e + 1]) of y. A
// row has the bits that GemmArgs gives it.
struct GroupedGemmArgs {
  DeviceMatrix x;                         // act [., K], K > 0
  DeviceArray<const int32_t> source_row;  // [R] rows of x; or null: row r is x[r]
  // [X + 1], from 0, never falling, at most R in the end. Rows behind the end are not written.
  DeviceArray<const int32_t> expert_start;
  const void* const* weights = nullptr;  // [X] act [N, K]
  int64_t weight_stride = 0;             // of rows
  const float* const* biases = nullptr;  // [X] [N] or null; or null
  DeviceMatrix y;                        // act or fp32 [R, N], overlaps nothing of the above
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_GEMM_ARGS_H_
