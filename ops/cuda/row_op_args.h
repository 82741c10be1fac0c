// What the host tells the kernels of ops/cuda/row_ops.cuh. Pointers are device pointers; shapes are
// checked already (ops/op_checks.h).
#ifndef QUIRE_OPS_CUDA_ROW_OP_ARGS_H_
#define QUIRE_OPS_CUDA_ROW_OP_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"
#include "ops/op_kinds.h"

namespace quire {

// out = activation(x), or activation(gate) * up with gate and up the halves of x's columns.
struct ActivateRowsArgs {
  ActivationParams activation;  // kClampedSwiglu only where gated
  bool gated = false;
  DeviceMatrix x;    // fp32 or bf16 [T, F], or [T, 2F] where gated
  DeviceMatrix out;  // of x's type [T, F]; may be x where not gated
};

// out += scale * x, times sigmoid(gate) where there is one.
struct AddRowsArgs {
  DeviceMatrix x;  // fp32 or bf16 [T, E]
  float scale = 1.0F;
  DeviceMatrix gate;  // fp32 or bf16 [T, 1], or its data is null
  DeviceMatrix out;   // fp32 [T, E]
};

// logits = cap * tanh(scale * logits / cap), or scale * logits where cap is 0.
struct SoftcapArgs {
  DeviceMatrix logits;  // fp32 [R, V]
  float scale = 1.0F;
  float cap = 0.0F;
};

// out[r] = x[rows[r]], to the bit. What a row outside x leads to: DeviceCheck.
struct GatherRowsArgs {
  DeviceMatrix x;                   // fp32 or bf16 [., E]
  DeviceArray<const int32_t> rows;  // [R]
  DeviceMatrix out;                 // of x's type [R, E]
};

// sum[i] += x[r, i] for r = 0, 1, ... in this order.
struct SumRowsArgs {
  DeviceMatrix x;        // fp32 or bf16 [R, E]
  float* sum = nullptr;  // [E]
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_ROW_OP_ARGS_H_
