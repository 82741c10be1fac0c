// Where a key or value element lies inside a page. The one page that defines it: kernels, the
// reference and the tests all address the cache through these functions.
//
// Letters: Hkv key/value heads, D head dim of keys, Dv of values, B block_tokens, P elements in 4
// bytes (2 for bf16, 1 for fp32).
#ifndef QUIRE_KVCACHE_KV_LAYOUT_H_
#define QUIRE_KVCACHE_KV_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "core/number_types.h"

namespace quire {

// A page: the keys of B tokens, then their values.
//   K [Hkv, D/P, B, P]   a panel of B columns (tokens), P head dims interleaved: the right-hand
//                        side of q k^T as the dot-product instructions of CPUs take it
//   V [Hkv, B/P, Dv, P]  likewise for p v, with tokens as the inner dimension
// D, Dv and B are even. Keys are stored after norm and rotation, before any expansion to query
// heads. A latent page (MLA) has one head of D = R + Dr and no values (Dv = 0): they are the first
// R dims of its keys.
struct KvPageLayout {
  int num_kv_heads = 0;
  int head_dim = 0;   // D
  int value_dim = 0;  // Dv
  int block_tokens = 0;
  DType dtype = DType::kBFloat16;  // kBFloat16 or kFloat32

  constexpr int pair() const { return 4 / static_cast<int>(DTypeBytes(dtype)); }
  // Elements of one head's keys, and of its values.
  constexpr int64_t key_elements() const { return int64_t{head_dim} * block_tokens; }
  constexpr int64_t value_elements() const { return int64_t{value_dim} * block_tokens; }
  constexpr int64_t values_begin() const { return num_kv_heads * key_elements(); }
  constexpr int64_t page_elements() const {
    return num_kv_heads * (key_elements() + value_elements());
  }
  constexpr size_t page_bytes() const {
    return static_cast<size_t>(page_elements()) * DTypeBytes(dtype);
  }
  // Bytes that one token takes in one layer.
  constexpr size_t token_bytes() const {
    return static_cast<size_t>(int64_t{num_kv_heads} * (head_dim + value_dim)) * DTypeBytes(dtype);
  }

  // Element offsets from the page's start; `token` in [0, B), `d` in [0, D) or [0, Dv).
  constexpr int64_t KeyOffset(int head, int token, int d) const {
    const int p = pair();
    return head * key_elements() + (int64_t{d / p} * block_tokens + token) * p + d % p;
  }
  constexpr int64_t ValueOffset(int head, int token, int d) const {
    const int p = pair();
    return values_begin() + head * value_elements() + (int64_t{token / p} * value_dim + d) * p +
           token % p;
  }
};

// What a kernel needs to find the pages of one layer: page b of the layer starts at
// base + b * page_stride_bytes.
struct PagedKvView {
  void* base = nullptr;
  int64_t page_stride_bytes = 0;
  int64_t num_blocks = 0;
  KvPageLayout layout;
};

}  // namespace quire

#endif  // QUIRE_KVCACHE_KV_LAYOUT_H_
