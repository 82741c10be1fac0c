// The intermediate results of a step, in one buffer that is taken at start.
#ifndef QUIRE_MODEL_ACTIVATIONS_H_
#define QUIRE_MODEL_ACTIVATIONS_H_

#include <cstddef>
#include <cstdint>

#include "core/device_memory.h"
#include "model/model_config.h"
#include "model/rope_tables.h"

namespace quire {

struct DecoderLimits {
  int64_t max_batch_tokens = 0;  // T at most
  int64_t max_logits_rows = 0;   // rows of logits at a time
  RopeRowLayout rope_rows;       // of the rotary tables
};

// Rows [0, T) are in use.
struct Activations {
  DeviceMatrix residual;       // fp32 [T, E], the residual stream
  DeviceMatrix normed;         // act [T, E]
  DeviceMatrix qkv;            // act [T, H D + Hkv D + Hkv Dv]
  DeviceMatrix streamed_q;     // act [T, H D], the queries as the sinks see them; empty without
  DeviceMatrix attended;       // act [T, H Dv]
  DeviceMatrix delta;          // fp32 [T, E], what a block adds to the residual
  DeviceMatrix up;             // act [T, 2 F], or [T, F] where there is no gate
  DeviceMatrix gated;          // act [T, F]
  DeviceMatrix router_logits;  // fp32 [T, X]
  DeviceMatrix chosen;         // fp32 [T, top_k], the weights of the experts
  DeviceMatrix shared;         // fp32 [T, E], of the shared expert
  DeviceMatrix shared_gate;    // fp32 [T, 1]
  DeviceMatrix last;           // act [R, E], of normed, the rows that give logits
  DeviceMatrix logits;         // fp32 [R, V]
  int32_t* expert_ids;         // [T, top_k]
  int32_t* zero_ids;           // [T], zeros: the token type of every row

  // Lays them out from `base` on; `bytes` becomes what they take.
  static Activations Lay(const ModelConfig& config, DType act_dtype, const DecoderLimits& limits,
                         void* base, size_t& bytes);
  static size_t Bytes(const ModelConfig& config, DType act_dtype, const DecoderLimits& limits) {
    size_t bytes = 0;
    Lay(config, act_dtype, limits, nullptr, bytes);
    return bytes;
  }
};

}  // namespace quire

#endif  // QUIRE_MODEL_ACTIVATIONS_H_
