// The write of one token's key or value into a page: kvcache/kv_layout.h.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_WRITE_KV_H_
#define QUIRE_ATTENTION_CPU_KERNELS_WRITE_KV_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "core/cpu/simd/elements.h"

namespace quire::QUIRE_ISA {

inline int64_t ElementBytes(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

// The key of one token into its column of the panel [D / P][B][P].
inline void WriteKey(const float* x, int64_t dim, int64_t token, int64_t block_tokens,
                     ElementType type, char* panel) {
  auto* words = reinterpret_cast<uint32_t*>(panel) + token;
  if (type == ElementType::kFloat32) {
    for (int64_t d = 0; d < dim; ++d) __builtin_memcpy(words + d * block_tokens, x + d, 4);
    return;
  }
  for (int64_t d = 0; d < dim; d += 2 * kLanes) {
    uint16_t rounded[2 * kLanes];
    const int low = LanesOf(dim - d);
    const int high = dim - d > kLanes ? LanesOf(dim - d - kLanes) : 0;
    StoreBf16First(rounded, LoadElements(x, ElementType::kFloat32, d, low), low);
    if (high > 0) {
      StoreBf16First(rounded + kLanes, LoadElements(x, ElementType::kFloat32, d + kLanes, high),
                     high);
    }
    for (int i = 0; i < (low + high) / 2; ++i) {
      __builtin_memcpy(words + (d / 2 + i) * block_tokens, rounded + 2 * i, 4);
    }
  }
}

// The value of one token into its row of the panel [B / P][Dv][P]. Where two tokens share words
// only the token's own halves are written: the other may be another thread's.
inline void WriteValue(const void* value, ElementType type, int64_t dim, int64_t token,
                       ElementType cache_type, char* panel) {
  if (cache_type == ElementType::kFloat32) {
    float* row = reinterpret_cast<float*>(panel) + token * dim;
    for (int64_t d = 0; d < dim; d += kLanes) {
      const int lanes = LanesOf(dim - d);
      StoreElements(row, cache_type, d, LoadElements(value, type, d, lanes), lanes);
    }
    return;
  }
  uint16_t* row = reinterpret_cast<uint16_t*>(panel) + token / 2 * 2 * dim + token % 2;
  if (type == ElementType::kBFloat16) {
    const auto* bits = static_cast<const uint16_t*>(value);
    for (int64_t d = 0; d < dim; ++d) row[2 * d] = bits[d];
    return;
  }
  for (int64_t d = 0; d < dim; d += kLanes) {
    uint16_t rounded[kLanes];
    const int lanes = LanesOf(dim - d);
    StoreBf16First(rounded, LoadElements(value, type, d, lanes), lanes);
    for (int i = 0; i < lanes; ++i) row[2 * (d + i)] = rounded[i];
  }
}

// Where the heads of one slot lie.
struct SlotPlace {
  char* keys;         // of head 0
  char* values;       // of head 0
  int64_t key_bytes;  // from head to head
  int64_t value_bytes;
  int64_t token;  // of the page
};

inline SlotPlace FindSlot(const KvPages& pages, int64_t slot, int64_t num_kv_heads,
                          int64_t head_dim, int64_t value_dim) {
  SlotPlace place;
  place.key_bytes = head_dim * pages.block_tokens * ElementBytes(pages.type);
  place.value_bytes = value_dim * pages.block_tokens * ElementBytes(pages.type);
  place.keys = pages.base + slot / pages.block_tokens * pages.page_stride_bytes;
  place.values = place.keys + num_kv_heads * place.key_bytes;
  place.token = slot % pages.block_tokens;
  return place;
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_WRITE_KV_H_
