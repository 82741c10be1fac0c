// Between rows and pages of latent attention: the fused norm, rotation and write of cache rows, and
// the way back from cache rows to keys and values of all heads. Bound by loads and stores; one call
// owns the tokens that it is given.
#include "attention/cpu/kernels/head_rows.h"
#include "attention/cpu/kernels/isa_kernels.h"
#include "attention/cpu/kernels/rotate.h"
#include "attention/cpu/kernels/write_kv.h"

namespace quire::QUIRE_ISA {
namespace {

// Elements [first, ...) of a matrix of `type`.
const char* At(const void* data, ElementType type, int64_t first) {
  return static_cast<const char*>(data) + first * ElementBytes(type);
}

// Words [tokens][words] as rows `stride` words apart -> panel [words][B]: columns up to a whole
// vector are written.
void RowsToPanel(const char* rows, int64_t stride_bytes, int64_t tokens, int64_t words,
                 int64_t block_tokens, float* panel) {
  for (int64_t token = 0; token < tokens; token += kLanes) {
    const int some = LanesOf(tokens - token);
    for (int64_t word = 0; word < words; word += kLanes) {
      const int lanes = LanesOf(words - word);
      Vec x[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const char* row = rows + (token + i) * stride_bytes;
        x[i] = i < some ? LoadFirst(reinterpret_cast<const float*>(row) + word, lanes) : Zero();
      }
      Transpose(x);
      for (int i = 0; i < lanes; ++i) Store(panel + (word + i) * block_tokens + token, x[i]);
    }
  }
}

// Rows [tokens][dim] -> values [B / P][dim][P]; half a pair without a token is zero.
void RowsToValues(const char* rows, int64_t stride_bytes, ElementType type, int64_t tokens,
                  int64_t dim, char* values) {
  if (type == ElementType::kFloat32) {
    for (int64_t t = 0; t < tokens; ++t) {
      __builtin_memcpy(values + t * dim * 4, rows + t * stride_bytes, dim * 4);
    }
    return;
  }
  for (int64_t t = 0; t < tokens; t += 2) {
    const char* even = rows + t * stride_bytes;
    const char* odd = even + stride_bytes;
    auto* out = reinterpret_cast<float*>(values) + t / 2 * dim;
    for (int64_t d = 0; d < dim; d += kLanes) {
      const int lanes = LanesOf(dim - d);
      const Vec second = t + 1 < tokens ? LoadElements(odd, type, d, lanes) : Zero();
      StoreFirst(out + d, PackBf16Pairs(LoadElements(even, type, d, lanes), second), lanes);
    }
  }
}

}  // namespace

void MlaNormRopeWrite(const MlaNormRopeWriteArgs& n) {
  const int64_t dim = n.rope.rotary_dim;
  const int64_t key_bytes = n.pages.block_tokens * ElementBytes(n.pages.type);  // of one dim
  for (int64_t t = 0; t < n.tokens; ++t) {
    for (int64_t h = 0; h < n.num_heads; ++h) {
      char* q = static_cast<char*>(n.q) +
                (t * n.q_stride + h * n.head_dim + n.rope_begin) * ElementBytes(n.q_type);
      LoadRow(q, n.q_type, dim, n.scratch);
      Rotate(n.scratch, n.rope, n.rope_rows[t]);
      StoreRow(n.scratch, dim, n.q_type, q);
    }
    const int64_t token = n.slots[t] % n.pages.block_tokens;
    char* page = n.pages.base + n.slots[t] / n.pages.block_tokens * n.pages.page_stride_bytes;
    const char* latent = At(n.latent, n.latent_type, t * n.latent_stride);
    LoadRow(latent, n.latent_type, n.latent_dim, n.scratch);
    if (n.latent_norm.kind != HeadNormKind::kNone) {
      const float scale =
          InverseRms(n.scratch, ElementType::kFloat32, n.latent_dim, n.latent_norm.eps);
      ScaleRow(n.scratch, n.latent_dim, scale, n.latent_norm.weight);
    }
    WriteKey(n.scratch, n.latent_dim, token, n.pages.block_tokens, n.pages.type, page);
    for (int64_t h = 0; h < n.key_ropes; ++h) {
      const int64_t first = n.latent_dim + h * dim;
      LoadRow(At(latent, n.latent_type, first), n.latent_type, dim, n.scratch);
      Rotate(n.scratch, n.rope, n.rope_rows[t]);
      WriteKey(n.scratch, dim, token, n.pages.block_tokens, n.pages.type, page + first * key_bytes);
    }
  }
}

void MlaGather(const GatherLatentsArgs& g) {
  const int64_t words = g.dim * ElementBytes(g.type) / 4;
  const int64_t stride_bytes = g.out_stride * ElementBytes(g.type);
  const auto* panel = reinterpret_cast<const float*>(g.keys);
  for (int64_t token = 0; token < g.tokens; token += kLanes) {
    const int some = LanesOf(g.tokens - token);
    for (int64_t word = 0; word < words; word += kLanes) {
      const int lanes = LanesOf(words - word);
      Vec x[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        x[i] = i < lanes ? Load(panel + (word + i) * g.block_tokens + token) : Zero();
      }
      Transpose(x);
      for (int i = 0; i < some; ++i) {
        char* row = static_cast<char*>(g.out) + (token + i) * stride_bytes;
        StoreFirst(reinterpret_cast<float*>(row) + word, x[i], lanes);
      }
    }
  }
}

void MlaExpand(const MlaExpandArgs& e) {
  const int64_t bytes = ElementBytes(e.type);
  const int64_t pair = 4 / bytes;
  auto* panel = reinterpret_cast<float*>(e.keys);
  RowsToPanel(At(e.kv, e.type, 0), e.kv_stride * bytes, e.tokens, e.nope_dim / pair, e.block_tokens,
              panel + e.nope_begin / pair * e.block_tokens);
  RowsToPanel(At(e.k_rope, e.type, 0), e.k_rope_stride * bytes, e.tokens, e.rope_dim / pair,
              e.block_tokens, panel + e.rope_begin / pair * e.block_tokens);
  RowsToValues(At(e.kv, e.type, e.nope_dim), e.kv_stride * bytes, e.type, e.tokens, e.value_dim,
               e.values);
}

}  // namespace quire::QUIRE_ISA
