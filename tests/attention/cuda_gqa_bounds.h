// How far the CUDA attention may be from the reference.
#ifndef QUIRE_TESTS_ATTENTION_CUDA_GQA_BOUNDS_H_
#define QUIRE_TESTS_ATTENTION_CUDA_GQA_BOUNDS_H_

#include <algorithm>
#include <cstdint>

#include "attention/attention.h"
#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire::testing {

// The bound of gqa_harness.h holds: products of bf16 round probabilities to bf16 and sum up exact
// products in fp32, as the CPU's do; those of other types are fp32 throughout. 2^x is within 2^-22.
inline CpuIsa BoundOf(const GqaShape& shape, DType act, DType cache) {
  const bool products = act == DType::kBFloat16 && cache == DType::kBFloat16 &&
                        std::max(shape.head_dim, shape.value_dim) <= 256;
  return products ? CpuIsa::kAvx512Bf16 : CpuIsa::kPortable;
}

// Against the reference, with queries in rows `gap` numbers wider than they need.
inline void ExpectGqaReference(Attention& attention, const PagedKv& kv, DType act,
                               const GqaExtras& extras = {}, int64_t gap = 6) {
  const GqaShape& shape = kv.shape();
  HostMatrix qkv(act, kv.num_tokens(), shape.qkv_width(), shape.qkv_width() + gap);
  qkv.FillNormal(9);
  const HostMatrix out = RunGqa(attention, kv, qkv, extras);
  const HostMatrix want = RunGqa(*MakeReferenceAttention(), kv, qkv, extras);
  const DType cache = kv.view().layout.dtype;
  EXPECT_TRUE(Near(out, want,
                   [&](int64_t r, int64_t c) {
                     return AttendedBound(BoundOf(shape, act, cache), shape.head_dim, cache, act,
                                          want.at(r, c));
                   }))
      << DTypeName(act) << " over " << DTypeName(cache);
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_CUDA_GQA_BOUNDS_H_
