// Cases of the fused norm, rotation and write of latent rows, and how far from the reference a
// backend may be. Shared by the tests of all backends.
#ifndef QUIRE_TESTS_ATTENTION_MLA_NORM_ROPE_HARNESS_H_
#define QUIRE_TESTS_ATTENTION_MLA_NORM_ROPE_HARNESS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "attention/reference/reference_mla.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire::testing {

inline constexpr DType kLatentTypes[] = {DType::kBFloat16, DType::kFloat32};
inline const MlaShape kMlaNormRopeShapes[] = {{4, 32, 16, 8, 16},       {3, 34, 10, 6, 14},
                                              {8, 96, 48, 16, 32},      {16, 512, 128, 64, 128},
                                              {4, 32, 16, 8, 16, true}, {3, 34, 10, 6, 14, true}};

struct LatentCase {
  MlaShape shape;
  DType act;
  DType latent;
  DType cache;
  bool interleaved = true;
  bool norm = true;
  std::vector<KvEntry> entries = {{30, 40}, {1, 17}, {2, 2}};
};

// What a backend makes of the same rows: queries and cache rows as a matrix.
struct WrittenLatents {
  HostMatrix q;
  HostMatrix cache;
  int64_t numbers;  // in the whole cache, that are there
};

// The cache rows that `kv`'s batch writes.
inline HostMatrix CacheRows(const PagedKv& kv) {
  const KvPageLayout& layout = kv.view().layout;
  HostMatrix rows(layout.dtype, kv.num_tokens(), layout.head_dim);
  for (int64_t t = 0; t < kv.num_tokens(); ++t) {
    const int64_t slot = kv.batch().slots.data[t];
    const uint8_t* page =
        kv.bytes().data() + slot / layout.block_tokens * kv.view().page_stride_bytes;
    const auto token = static_cast<int>(slot % layout.block_tokens);
    for (int d = 0; d < layout.head_dim; ++d) {
      rows.set(t, d, LoadElement(page, layout.dtype, layout.KeyOffset(0, token, d)));
    }
  }
  return rows;
}

// Elements of the pool that are not NaN, as all are until written.
inline int64_t CacheNumbers(const PagedKv& kv) {
  const DType dtype = kv.view().layout.dtype;
  const auto size = static_cast<int64_t>(kv.bytes().size() / DTypeBytes(dtype));
  int64_t numbers = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (!std::isnan(LoadElement(kv.bytes().data(), dtype, i))) ++numbers;
  }
  return numbers;
}

// `Backend` has Mla's NormRopeWrite.
template <typename Backend>
WrittenLatents WriteLatents(Backend& backend, const LatentCase& c) {
  const MlaShape& shape = c.shape;
  PagedKv kv({shape.num_heads, 1, shape.cache_dim(), 0, 0}, 16, c.cache, c.entries);
  const RopeTables tables(64, shape.rope_dim);
  RopeTable rope = tables.view();
  rope.interleaved = c.interleaved;
  HostMatrix latent(c.latent, kv.num_tokens(), shape.cache_dim(), shape.cache_dim() + 10);
  HostMatrix q(c.act, kv.num_tokens(), shape.q_width(), shape.q_width() + 6);
  latent.FillNormal(1, 3.0F);
  q.FillNormal(2);
  std::vector<float> norm(shape.latent_dim);
  for (size_t i = 0; i < norm.size(); ++i) norm[i] = 0.5F + 0.01F * static_cast<float>(i);
  backend.NormRopeWrite({.latent = latent.view(),
                         .q = q.view(),
                         .shape = shape,
                         .latent_norm = c.norm ? norm.data() : nullptr,
                         .norm_eps = 1e-5F,
                         .rope = rope,
                         .kv = kv.view()},
                        kv.batch());
  return {q, CacheRows(kv), CacheNumbers(kv)};
}

// A rotation is two products of numbers of size <= 15 and a sum, a norm R of them: a few roundings
// in fp32, and one to the type.
inline ::testing::AssertionResult NearLatents(const HostMatrix& got, const HostMatrix& want) {
  return Near(got, want, [&](int64_t r, int64_t c) {
    return 16 * 15 * 0x1p-24 + 2 * RoundingError(want.view().dtype, want.at(r, c));
  });
}

template <typename Backend>
void ExpectLatentsMatchReference(Backend& backend, const LatentCase& c) {
  const WrittenLatents got = WriteLatents(backend, c);
  const WrittenLatents want = WriteLatents(*MakeReferenceMla(), c);
  EXPECT_TRUE(NearLatents(got.q, want.q));
  EXPECT_TRUE(NearLatents(got.cache, want.cache));
  EXPECT_EQ(got.numbers, want.numbers);
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_MLA_NORM_ROPE_HARNESS_H_
