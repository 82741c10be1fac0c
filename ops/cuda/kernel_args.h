// What the host tells the kernels of ops.h. Pointers are device pointers; shapes are checked
// already (ops/op_checks.h).
#ifndef QUIRE_OPS_CUDA_KERNEL_ARGS_H_
#define QUIRE_OPS_CUDA_KERNEL_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"
#include "ops/op_kinds.h"

namespace quire {

// out = norm(x) with the sum in fp32; where there is a delta, x += delta_scale * delta before it.
struct NormArgs {
  NormKind kind = NormKind::kNone;
  float eps = 0.0F;
  const float* weight = nullptr;  // [E], or null: ones
  const float* bias = nullptr;    // [E], or null: zeros
  DeviceMatrix x;                 // fp32 or bf16 [T, E]; fp32 where there is a delta
  DeviceMatrix delta;             // fp32 or bf16 [T, E], or its data is null
  float delta_scale = 1.0F;
  DeviceMatrix out;     // fp32 or bf16 [T, E], may be x
  bool into_x = false;  // x = norm(x) too
};

// out[t] = scale * table[ids[t]], or out[t] += it. What an id outside the table leads to:
// DeviceCheck.
struct EmbedArgs {
  DeviceMatrix table;              // fp32 or bf16 [V, E]
  DeviceArray<const int32_t> ids;  // [T]
  float scale = 1.0F;
  bool accumulate = false;
  DeviceMatrix out;  // fp32 [T, E]
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_KERNEL_ARGS_H_
