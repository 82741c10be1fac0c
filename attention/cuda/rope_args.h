// What the host tells the kernels that normalise, rotate and write. Pointers are device pointers;
// shapes are checked already (attention/attention_checks.h, attention/mla_checks.h). A row of the
// rotation tables, a slot or a page that does not exist leads to DeviceCheck.
#ifndef QUIRE_ATTENTION_CUDA_ROPE_ARGS_H_
#define QUIRE_ATTENTION_CUDA_ROPE_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"
#include "kvcache/kv_layout.h"

namespace quire {

enum class HeadNorm : uint8_t {
  kNone,
  kRms,           // of each head
  kRmsFullWidth,  // over all query heads, and over all key heads
  kLayer,         // of each head
};

struct HeadNormArgs {
  HeadNorm kind = HeadNorm::kNone;
  const float* q_weight = nullptr;  // head h's: [D] from h * weight_stride on; null: ones
  const float* k_weight = nullptr;
  int64_t weight_stride = 0;  // 0 or D
  float eps = 0.0F;
};

// Rotation tables, as RopeTable has them.
struct RopeArgs {
  const float* cos = nullptr;  // [num_rows, rotary_dim / 2]
  const float* sin = nullptr;
  int64_t num_rows = 0;
  int rotary_dim = 0;
  bool interleaved = false;
};

// Queries are normalised and rotated in place; keys too where there are no slots. Else they go to
// the cache, and the values with them.
struct NormRopeArgs {
  DeviceMatrix qkv;  // fp32 or bf16 [T, H D + Hkv D + Hkv Dv]
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int value_dim = 0;
  HeadNormArgs norm;
  RopeArgs rope;
  DeviceArray<const int32_t> rope_rows;   // [T]
  DeviceMatrix q2;                        // as qkv [T, H D], or its data is null
  DeviceArray<const int32_t> rope_rows2;  // [T] where there is q2
  DeviceArray<const int64_t> slots;       // [T], or its data is null: no write
  PagedKvView kv;                         // its base and pages begin at multiples of 4 bytes
};

struct MlaNormRopeArgs {
  DeviceMatrix latent;  // fp32 or bf16 [T, R + key_ropes Dr]
  DeviceMatrix q;       // fp32 or bf16 [T, H D]
  int num_heads = 0;
  int head_dim = 0;                    // D
  int rope_begin = 0;                  // the first rotated dim of a query head
  int latent_dim = 0;                  // R
  int key_ropes = 0;                   // rotated keys in a cache row: 1 or H
  const float* latent_norm = nullptr;  // [R], or null: no norm
  float norm_eps = 0.0F;
  RopeArgs rope;                         // rotary_dim = Dr
  DeviceArray<const int32_t> rope_rows;  // [T]
  DeviceArray<const int64_t> slots;      // [T]
  PagedKvView kv;                        // its base and pages begin at multiples of 4 bytes
};

// Page pairs[i][1] becomes page pairs[i][0]. No page is written by one pair and read or written by
// another.
struct CopyPagesArgs {
  PagedKvView kv;                    // its base and pages begin at multiples of 4 bytes
  DeviceArray<const int32_t> pairs;  // [N, 2], size 2 N
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_ROPE_ARGS_H_
