// QK-norm, rotation and the write into the cache: one pass over the merged row of each token, one
// call owns a range of tokens. About ten FLOPs per byte at most: bound by loads and stores.
#include "attention/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

int Lanes(int64_t left) { return static_cast<int>(left < kLanes ? left : kLanes); }

int64_t ElementBytes(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

// x [D] = head * (1 / rms * weight), or the head where there is no weight.
void LoadHead(const void* head, ElementType type, int64_t dim, const float* weight, float eps,
              float* x) {
  Vec sum = Zero();
  for (int64_t d = 0; d < dim; d += kLanes) {
    const int lanes = Lanes(dim - d);
    const Vec v = LoadElements(head, type, d, lanes);
    sum = Fma(v, v, sum);
    StoreElements(x, ElementType::kFloat32, d, v, lanes);
  }
  if (weight == nullptr) return;
  const float mean = ReduceAdd(sum) / static_cast<float>(dim);
  const Vec scale = Broadcast(1.0F / __builtin_sqrtf(mean + eps));
  for (int64_t d = 0; d < dim; d += kLanes) {
    const int lanes = Lanes(dim - d);
    const Vec v = LoadElements(x, ElementType::kFloat32, d, lanes);
    const Vec w = LoadElements(weight, ElementType::kFloat32, d, lanes);
    StoreElements(x, ElementType::kFloat32, d, Mul(Mul(v, scale), w), lanes);
  }
}

// Half-split: dim i turns with dim i + rotary_dim / 2.
void Rotate(float* x, const RopeArgs& rope, int64_t row) {
  const int64_t half = rope.rotary_dim / 2;
  const float* cos = rope.cos + row * half;
  const float* sin = rope.sin + row * half;
  for (int64_t i = 0; i < half; i += kLanes) {
    const int lanes = Lanes(half - i);
    const Vec c = LoadElements(cos, ElementType::kFloat32, i, lanes);
    const Vec s = LoadElements(sin, ElementType::kFloat32, i, lanes);
    const Vec a = LoadElements(x, ElementType::kFloat32, i, lanes);
    const Vec b = LoadElements(x, ElementType::kFloat32, half + i, lanes);
    StoreElements(x, ElementType::kFloat32, i, Fma(a, c, Sub(Zero(), Mul(b, s))), lanes);
    StoreElements(x, ElementType::kFloat32, half + i, Fma(b, c, Mul(a, s)), lanes);
  }
}

// The key of one token into its column of the panel [D / P][B][P].
void WriteKey(const float* x, int64_t dim, int64_t token, int64_t block_tokens, ElementType type,
              char* panel) {
  auto* words = reinterpret_cast<uint32_t*>(panel) + token;
  if (type == ElementType::kFloat32) {
    for (int64_t d = 0; d < dim; ++d) __builtin_memcpy(words + d * block_tokens, x + d, 4);
    return;
  }
  for (int64_t d = 0; d < dim; d += 2 * kLanes) {
    uint16_t rounded[2 * kLanes];
    const int low = Lanes(dim - d);
    const int high = dim - d > kLanes ? Lanes(dim - d - kLanes) : 0;
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

// The value of one token into its row of the panel [B / P][D][P]. Where two tokens share words only
// the token's own halves are written: the other may be another thread's.
void WriteValue(const void* value, ElementType type, int64_t dim, int64_t token,
                ElementType cache_type, char* panel) {
  if (cache_type == ElementType::kFloat32) {
    float* row = reinterpret_cast<float*>(panel) + token * dim;
    for (int64_t d = 0; d < dim; d += kLanes) {
      const int lanes = Lanes(dim - d);
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
    const int lanes = Lanes(dim - d);
    StoreBf16First(rounded, LoadElements(value, type, d, lanes), lanes);
    for (int i = 0; i < lanes; ++i) row[2 * (d + i)] = rounded[i];
  }
}

}  // namespace

void NormRopeWrite(const NormRopeWriteArgs& n) {
  const int64_t dim = n.head_dim;
  const int64_t head_bytes = dim * ElementBytes(n.type);
  const int64_t panel_bytes = dim * n.block_tokens * ElementBytes(n.cache_type);
  for (int64_t t = 0; t < n.tokens; ++t) {
    char* head = static_cast<char*>(n.qkv) + t * n.qkv_stride * ElementBytes(n.type);
    for (int64_t h = 0; h < n.num_heads; ++h, head += head_bytes) {
      LoadHead(head, n.type, dim, n.q_norm, n.norm_eps, n.scratch);
      Rotate(n.scratch, n.rope, n.rope_rows[t]);
      for (int64_t d = 0; d < dim; d += kLanes) {
        const int lanes = Lanes(dim - d);
        StoreElements(head, n.type, d, LoadElements(n.scratch, ElementType::kFloat32, d, lanes),
                      lanes);
      }
    }
    const int64_t token = n.slots[t] % n.block_tokens;
    char* keys = n.pages + n.slots[t] / n.block_tokens * n.page_stride_bytes;
    char* values = keys + n.num_kv_heads * panel_bytes;
    const char* value = head + n.num_kv_heads * head_bytes;
    for (int64_t h = 0; h < n.num_kv_heads; ++h) {
      LoadHead(head + h * head_bytes, n.type, dim, n.k_norm, n.norm_eps, n.scratch);
      Rotate(n.scratch, n.rope, n.rope_rows[t]);
      WriteKey(n.scratch, dim, token, n.block_tokens, n.cache_type, keys + h * panel_bytes);
      WriteValue(value + h * head_bytes, n.type, dim, token, n.cache_type,
                 values + h * panel_bytes);
    }
  }
}

}  // namespace quire::QUIRE_ISA
