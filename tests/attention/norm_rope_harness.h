// Cases of the fused QK-norm, rotation and cache write, and how far from the reference a backend
// may be. Shared by the tests of all backends.
#ifndef QUIRE_TESTS_ATTENTION_NORM_ROPE_HARNESS_H_
#define QUIRE_TESTS_ATTENTION_NORM_ROPE_HARNESS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "attention/reference/reference_attention.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire::testing {

inline constexpr DType kRopeTypes[] = {DType::kBFloat16, DType::kFloat32};
inline constexpr int64_t kRopeRows = 128;  // of the tables: positions in the cases are below

struct RopeCase {
  GqaShape shape{4, 2, 64, 64, 0};
  int rotary_dim = 64;
  bool interleaved = false;
  QkNorm norm = QkNorm::kNone;
  bool weights = true;
  bool weights_per_head = false;
  DType act = DType::kBFloat16;
  DType cache = DType::kBFloat16;
  int block_tokens = 16;
  std::vector<KvEntry> entries = {{5, 20}, {1, 40}, {17, 17}};
  int64_t row_gap = 8;  // numbers between rows of the merged matrix
};

inline std::vector<RopeCase> RopeTypeCases() {
  std::vector<RopeCase> cases;
  for (DType act : kRopeTypes) {
    for (DType cache : kRopeTypes) {
      cases.push_back({.norm = QkNorm::kPerHead, .act = act, .cache = cache});
    }
  }
  return cases;
}

inline std::vector<RopeCase> RopeHeadDimCases() {
  std::vector<RopeCase> cases;
  for (int dim : {2, 16, 34, 40, 48, 80, 96, 128, 192, 256}) {
    for (bool interleaved : {false, true}) {
      cases.push_back({.shape = {3, 1, dim, dim, 0},
                       .rotary_dim = dim,
                       .interleaved = interleaved,
                       .norm = QkNorm::kPerHead,
                       .entries = {{7, 30}}});
    }
  }
  return cases;
}

inline std::vector<RopeCase> RopeValueDimCases() {
  std::vector<RopeCase> cases;
  for (int value_dim : {2, 34, 128, 200}) {
    for (DType cache : kRopeTypes) {
      cases.push_back({.shape = {4, 2, 96, value_dim, 0}, .cache = cache, .block_tokens = 32});
    }
  }
  return cases;
}

inline std::vector<RopeCase> RopeNormCases() {
  std::vector<RopeCase> cases;
  for (QkNorm norm :
       {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFullWidth, QkNorm::kPerHeadLayerNorm}) {
    for (bool weights : {true, false}) {
      for (bool weights_per_head : {true, false}) {
        for (int dim : {64, 34}) {
          cases.push_back({.shape = {6, 2, dim, dim, 0},
                           .rotary_dim = dim,
                           .norm = norm,
                           .weights = weights,
                           .weights_per_head = weights_per_head,
                           .act = DType::kFloat32,
                           .cache = DType::kFloat32});
        }
      }
    }
  }
  return cases;
}

inline std::vector<RopeCase> PartialRopeCases() {
  std::vector<RopeCase> cases;
  for (int rotary_dim : {0, 2, 20, 32, 62}) {
    for (bool interleaved : {false, true}) {
      cases.push_back({.rotary_dim = rotary_dim,
                       .interleaved = interleaved,
                       .act = DType::kFloat32,
                       .cache = DType::kFloat32,
                       .block_tokens = 64});
    }
  }
  return cases;
}

// Values are of size x; a norm, a rotation and their tables' products add some roundings at that
// size, then the result is rounded once to its type (twice as far where fp32 results straddle).
inline double NormRopeBound(DType dtype, double x) {
  return 32 * 0x1p-24 * std::max(1.0, std::fabs(x)) + 2 * RoundingError(dtype, x);
}

inline ::testing::AssertionResult NearNormRope(const HostMatrix& got, const HostMatrix& want) {
  return Near(got, want, [&](int64_t r, int64_t col) {
    return NormRopeBound(want.view().dtype, want.at(r, col));
  });
}

// Weights of any norm: [H, D] numbers, of which a shared one reads the first D.
struct RopeNormWeights {
  std::vector<float> q, k;

  explicit RopeNormWeights(const GqaShape& shape) {
    for (int64_t d = 0; d < int64_t{shape.num_heads} * shape.head_dim; ++d) {
      q.push_back(0.9F + 0.01F * static_cast<float>(d % 7));
      k.push_back(1.1F - 0.01F * static_cast<float>(d % 11));
    }
  }
};

// All but the matrices and the cache.
inline NormRopeWriteParams NormRopeParamsOf(const RopeCase& c, const RopeNormWeights& weights,
                                            const RopeTables& rope) {
  NormRopeWriteParams params;
  params.shape = c.shape;
  params.qk_norm = c.norm;
  if (c.weights) params.q_norm = weights.q.data();
  if (c.weights) params.k_norm = weights.k.data();
  params.weights_per_head = c.weights_per_head;
  params.rope = rope.view();
  params.rope.interleaved = c.interleaved;
  return params;
}

// Elements that the reference left NaN have kept their bits; the others are near.
inline void ExpectSamePools(const PagedKv& kv, const PagedKv& want) {
  const DType dtype = kv.view().layout.dtype;
  const size_t element = DTypeBytes(dtype);
  ASSERT_EQ(kv.bytes().size(), want.bytes().size());
  for (size_t at = 0; at < kv.bytes().size(); at += element) {
    const auto index = static_cast<int64_t>(at / element);
    const float expected = LoadElement(want.bytes().data(), dtype, index);
    if (std::isnan(expected)) {
      ASSERT_EQ(std::memcmp(kv.bytes().data() + at, want.bytes().data() + at, element), 0) << at;
    } else {
      ASSERT_NEAR(LoadElement(kv.bytes().data(), dtype, index), expected,
                  NormRopeBound(dtype, expected))
          << at;
    }
  }
}

// The write, and the same rotation without it. `Backend` has NormRopeWrite and NormRope of
// Attention.
template <typename Backend>
void ExpectNormRopeMatchesReference(Backend& backend, const RopeCase& c) {
  PagedKv kv(c.shape, c.block_tokens, c.cache, c.entries);
  PagedKv want_kv(c.shape, c.block_tokens, c.cache, c.entries);
  const RopeTables rope(kRopeRows, c.rotary_dim);
  const RopeNormWeights weights(c.shape);
  HostMatrix qkv(c.act, kv.num_tokens(), c.shape.qkv_width(), c.shape.qkv_width() + c.row_gap);
  qkv.FillNormal(1);
  HostMatrix want(qkv);
  HostMatrix in_place(qkv);
  HostMatrix want_in_place(qkv);
  NormRopeWriteParams params = NormRopeParamsOf(c, weights, rope);

  const auto reference = MakeReferenceAttention();
  params.qkv = in_place.view();
  backend.NormRope(params, kv.batch().rope_rows);
  params.qkv = want_in_place.view();
  reference->NormRope(params, kv.batch().rope_rows);
  EXPECT_TRUE(NearNormRope(in_place, want_in_place));

  params.qkv = qkv.view();
  params.kv = kv.view();
  backend.NormRopeWrite(params, kv.batch());
  params.qkv = want.view();
  params.kv = want_kv.view();
  reference->NormRopeWrite(params, want_kv.batch());
  EXPECT_TRUE(NearNormRope(qkv, want));
  ExpectSamePools(kv, want_kv);
}

template <typename Backend>
void ExpectNormRopeMatchesReference(Backend& backend, const std::vector<RopeCase>& cases) {
  for (const RopeCase& c : cases) {
    SCOPED_TRACE(::testing::Message()
                 << "D " << c.shape.head_dim << " Dv " << c.shape.value_dim << " rotary "
                 << c.rotary_dim << (c.interleaved ? " interleaved" : "") << " norm "
                 << static_cast<int>(c.norm) << " weights " << c.weights << c.weights_per_head);
    ExpectNormRopeMatchesReference(backend, c);
  }
}

// q2 is the queries as a rotation by its own rows makes them, to the bit.
template <typename Backend>
void ExpectQueriesTurnedTwice(Backend& backend, const RopeCase& c) {
  PagedKv kv(c.shape, c.block_tokens, c.cache, c.entries);
  const RopeTables rope(kRopeRows, c.rotary_dim);
  const RopeNormWeights weights(c.shape);
  const int64_t q_width = int64_t{c.shape.num_heads} * c.shape.head_dim;
  HostMatrix qkv(c.act, kv.num_tokens(), c.shape.qkv_width());
  qkv.FillNormal(1);
  HostMatrix again(qkv);
  HostMatrix fresh(qkv);
  HostMatrix q2(c.act, kv.num_tokens(), q_width, q_width + 4);
  HostMatrix want_q2(c.act, kv.num_tokens(), q_width, q_width + 4);
  std::vector<int32_t> rows2;
  for (int32_t t = 0; t < kv.num_tokens(); ++t) rows2.push_back(99 - 3 * t);
  AttentionBatch batch = kv.batch();
  batch.rope_rows2 = {rows2.data(), kv.num_tokens()};
  NormRopeWriteParams params = NormRopeParamsOf(c, weights, rope);
  params.qkv = qkv.view();
  params.kv = kv.view();
  params.q2 = q2.view();
  backend.NormRopeWrite(params, batch);
  params.qkv = again.view();
  params.q2 = {};
  backend.NormRope(params, batch.rope_rows2);
  for (int64_t t = 0; t < kv.num_tokens(); ++t) {
    for (int64_t col = 0; col < q_width; ++col) ASSERT_EQ(q2.at(t, col), again.at(t, col)) << t;
  }
  params.qkv = fresh.view();
  params.q2 = want_q2.view();
  MakeReferenceAttention()->NormRopeWrite(params, batch);
  EXPECT_TRUE(NearNormRope(q2, want_q2));
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_NORM_ROPE_HARNESS_H_
