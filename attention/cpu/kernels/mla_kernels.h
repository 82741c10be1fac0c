// What CPU multi-head latent attention computes beyond attention_kernels.h: the absorbed form, and
// the ways between cache rows and pages of keys and values.
//
// Letters as in mla.h: R latent rank, Dr rotated dims, Dn others, D = Dn + Dr, Dv value dim, H
// heads. B and P as in attention_kernels.h.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_MLA_KERNELS_H_
#define QUIRE_ATTENTION_CPU_KERNELS_MLA_KERNELS_H_

#include <cstdint>

#include "attention/cpu/kernels/attention_kernels.h"

namespace quire {

// Some heads of one query over the cache rows of its sequence.
struct MlaItem {
  // One query of `heads` heads, each with a latent query: head_dim = R + Dr and value_dim = R. The
  // keys' panel is that of the cache rows [c | k_r ...]; the values are their first R dims, so that
  // kv.values is not read. out [heads, R].
  GqaItem gqa;
  ElementType q_type;  // of gqa.q [heads, R]; gqa.type is that of out
  const void* q_rope;  // [heads, Dr], q_rope_stride apart
  int64_t q_rope_stride;
  ElementType q_rope_type;
  int64_t rope_dim;  // Dr
  // Which dims of the cache row are head h's rotated key: from first_rope + h rope_stride on.
  int64_t first_rope;
  int64_t rope_stride;  // 0: one part for all heads
};

struct MlaNormRopeWriteArgs {
  const void* latent;  // [tokens, R + key_ropes Dr]
  int64_t latent_stride;
  ElementType latent_type;
  void* q;  // [tokens, H D], head_dim D apart, rotated dims from rope_begin on
  int64_t q_stride;
  ElementType q_type;
  int64_t tokens;
  int64_t num_heads;
  int64_t head_dim;
  int64_t rope_begin;
  int64_t latent_dim;  // R
  int64_t key_ropes;   // rotated parts in the cache row: 1 or H
  HeadNorm latent_norm;
  RopeRowsArgs rope;
  const int32_t* rope_rows;  // [tokens]
  const int64_t* slots;      // [tokens]
  KvPages pages;
  float* scratch;  // [max(R, Dr)]
};

// Cache rows of one page, of its first `tokens` tokens, as rows of a matrix of the cache's type.
struct GatherLatentsArgs {
  const char* keys;  // the page: [dim / P][B][P]
  int64_t block_tokens;
  ElementType type;
  int64_t dim;
  int64_t tokens;
  void* out;  // [tokens, dim]
  int64_t out_stride;
};

// The key and value of one head, of the tokens of one page, from rows of the cache's type. What the
// page holds behind those tokens is undefined.
struct MlaExpandArgs {
  const void* kv;  // [tokens, Dn + Dv]: k_n, v
  int64_t kv_stride;
  const void* k_rope;  // [tokens, Dr]
  int64_t k_rope_stride;
  ElementType type;
  int64_t tokens;
  int64_t nope_dim;
  int64_t rope_dim;
  int64_t value_dim;
  int64_t nope_begin;  // of the key head's dims
  int64_t rope_begin;
  char* keys;    // [D / P][B][P]
  char* values;  // [B / P][Dv][P]
  int64_t block_tokens;
};

struct MlaKernels {
  int64_t (*scratch_numbers)(int64_t head_dim, int64_t value_dim);
  // As gqa and gqa_split of AttentionKernels; gqa_merge merges the states.
  void (*absorbed)(const MlaItem&);
  void (*absorbed_split)(const MlaItem&, int64_t split, float* partial);
  void (*norm_rope_write)(const MlaNormRopeWriteArgs&);
  void (*gather)(const GatherLatentsArgs&);
  void (*expand)(const MlaExpandArgs&);
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_KERNELS_MLA_KERNELS_H_
