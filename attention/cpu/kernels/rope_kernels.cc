// QK-norm, rotation and the write into the cache: one pass over the merged row of each token, one
// call owns a range of tokens. About ten FLOPs per byte at most: bound by loads and stores.
#include "attention/cpu/kernels/head_rows.h"
#include "attention/cpu/kernels/isa_kernels.h"
#include "attention/cpu/kernels/rotate.h"
#include "attention/cpu/kernels/write_kv.h"

namespace quire::QUIRE_ISA {
namespace {

// x = x - mean; returns 1 / standard deviation.
float Center(float* x, int64_t n, float eps) {
  Vec sum = Zero();
  for (int64_t d = 0; d < n; d += kLanes) {
    sum = Add(sum, LoadElements(x, ElementType::kFloat32, d, LanesOf(n - d)));
  }
  const Vec mean = Broadcast(ReduceAdd(sum) / static_cast<float>(n));
  for (int64_t d = 0; d < n; d += kLanes) {
    const int lanes = LanesOf(n - d);
    const Vec v = LoadElements(x, ElementType::kFloat32, d, lanes);
    StoreElements(x, ElementType::kFloat32, d, Sub(v, mean), lanes);
  }
  return InverseRms(x, ElementType::kFloat32, n, eps);
}

// Heads side by side, and their norm.
struct Heads {
  char* data;
  ElementType type;
  int64_t count;
  int64_t dim;
  HeadNorm norm;
  float full_scale = 0;  // 1 / rms of all heads at full width

  Heads(char* at, ElementType element_type, int64_t heads, int64_t head_dim,
        const HeadNorm& head_norm)
      : data(at), type(element_type), count(heads), dim(head_dim), norm(head_norm) {
    if (norm.kind == HeadNormKind::kRmsFullWidth) {
      full_scale = InverseRms(data, type, count * dim, norm.eps);
    }
  }

  char* Head(int64_t h) const { return data + h * dim * ElementBytes(type); }

  // x [D] = head h, normalised.
  void LoadNormed(int64_t h, float* x) const {
    LoadRow(Head(h), type, dim, x);
    if (norm.kind == HeadNormKind::kNone) return;
    float scale = full_scale;
    if (norm.kind == HeadNormKind::kRmsPerHead) {
      scale = InverseRms(x, ElementType::kFloat32, dim, norm.eps);
    } else if (norm.kind == HeadNormKind::kLayerPerHead) {
      scale = Center(x, dim, norm.eps);
    }
    ScaleRow(x, dim, scale,
             norm.weight == nullptr ? nullptr : norm.weight + h * norm.weight_stride);
  }
};

}  // namespace

void NormRopeWrite(const NormRopeWriteArgs& n) {
  const int64_t dim = n.head_dim;
  const int64_t element = ElementBytes(n.type);
  float* second = n.scratch + dim;
  for (int64_t t = 0; t < n.tokens; ++t) {
    char* row = static_cast<char*>(n.qkv) + t * n.qkv_stride * element;
    const Heads q(row, n.type, n.num_heads, dim, n.q_norm);
    for (int64_t h = 0; h < n.num_heads; ++h) {
      q.LoadNormed(h, n.scratch);
      if (n.q2 != nullptr) {
        for (int64_t d = 0; d < dim; ++d) second[d] = n.scratch[d];
        Rotate(second, n.rope, n.rope_rows2[t]);
        StoreRow(second, dim, n.type,
                 static_cast<char*>(n.q2) + (t * n.q2_stride + h * dim) * element);
      }
      Rotate(n.scratch, n.rope, n.rope_rows[t]);
      StoreRow(n.scratch, dim, n.type, q.Head(h));
    }
    const Heads k(q.Head(n.num_heads), n.type, n.num_kv_heads, dim, n.k_norm);
    SlotPlace place{};
    if (n.slots != nullptr) {
      place = FindSlot(n.pages, n.slots[t], n.num_kv_heads, dim, n.value_dim);
    }
    for (int64_t h = 0; h < n.num_kv_heads; ++h) {
      k.LoadNormed(h, n.scratch);
      Rotate(n.scratch, n.rope, n.rope_rows[t]);
      if (n.slots == nullptr) {
        StoreRow(n.scratch, dim, n.type, k.Head(h));
        continue;
      }
      WriteKey(n.scratch, dim, place.token, n.pages.block_tokens, n.pages.type,
               place.keys + h * place.key_bytes);
      WriteValue(k.Head(n.num_kv_heads) + h * n.value_dim * element, n.type, n.value_dim,
                 place.token, n.pages.type, place.values + h * place.value_bytes);
    }
  }
}

void WriteKv(const WriteKvArgs& n) {
  const int64_t element = ElementBytes(n.type);
  for (int64_t t = 0; t < n.tokens; ++t) {
    const char* row = static_cast<const char*>(n.kv) + t * n.kv_stride * element;
    const char* value = row + n.num_kv_heads * n.head_dim * element;
    const SlotPlace place =
        FindSlot(n.pages, n.first_slot + t, n.num_kv_heads, n.head_dim, n.value_dim);
    for (int64_t h = 0; h < n.num_kv_heads; ++h) {
      LoadRow(row + h * n.head_dim * element, n.type, n.head_dim, n.scratch);
      WriteKey(n.scratch, n.head_dim, place.token, n.pages.block_tokens, n.pages.type,
               place.keys + h * place.key_bytes);
      WriteValue(value + h * n.value_dim * element, n.type, n.value_dim, place.token, n.pages.type,
                 place.values + h * place.value_bytes);
    }
  }
}

}  // namespace quire::QUIRE_ISA
