// The sizes of latent attention (mla.h), in a form that kernels can include.
#ifndef QUIRE_ATTENTION_MLA_SHAPE_H_
#define QUIRE_ATTENTION_MLA_SHAPE_H_

#include <cstdint>

namespace quire {

struct MlaShape {
  int num_heads = 0;   // H
  int latent_dim = 0;  // R, even
  int nope_dim = 0;    // Dn, even
  int rope_dim = 0;    // Dr, even
  int value_dim = 0;   // Dv, even
  // false: the rotated part of the key comes from the input and is one for all heads; a query head
  // is [q_n | q_r] (DeepSeek). true: it is each head's own, its first Dr dims, c W_UK rotated; a
  // query head is [q_r | q_n] and the cache row [c | H x k_r].
  bool rope_per_head = false;

  constexpr int head_dim() const { return nope_dim + rope_dim; }
  constexpr int64_t q_width() const { return int64_t{num_heads} * head_dim(); }
  constexpr int64_t latent_width() const { return int64_t{num_heads} * latent_dim; }
  constexpr int64_t out_width() const { return int64_t{num_heads} * value_dim; }
  // Keys without rotation, and values, of all heads: each head's [k_n | v].
  constexpr int64_t expanded_width() const { return int64_t{num_heads} * (nope_dim + value_dim); }
  // What the latent is projected up to: those, and the keys' rotated dims where they are the
  // heads'.
  constexpr int64_t up_width() const {
    return expanded_width() + (rope_per_head ? int64_t{num_heads} * rope_dim : 0);
  }
  // Where the rotated dims of a query or key head begin, and the others.
  constexpr int rope_begin() const { return rope_per_head ? 0 : nope_dim; }
  constexpr int nope_begin() const { return rope_per_head ? rope_dim : 0; }
  // Of the cache row, and where head `h`'s rotated key lies in it.
  constexpr int cache_dim() const {
    return latent_dim + (rope_per_head ? num_heads : 1) * rope_dim;
  }
  constexpr int key_rope_begin(int head) const {
    return latent_dim + (rope_per_head ? head * rope_dim : 0);
  }
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_MLA_SHAPE_H_
