// Runs attention backends over a paged cache and says how far they may be apart.
#ifndef QUIRE_TESTS_ATTENTION_GQA_HARNESS_H_
#define QUIRE_TESTS_ATTENTION_GQA_HARNESS_H_

#include <cmath>
#include <cstdint>
#include <memory>

#include "attention/cpu/cpu_attention.h"
#include "attention/reference/reference_attention.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire::testing {

// A CPU attention and what it stands on.
class CpuBackend {
 public:
  explicit CpuBackend(CpuIsa isa, int threads = 2, CpuAttentionLimits limits = {})
      : pool_(threads), memory_(pool_) {
    attention_ = MakeCpuAttention(pool_, memory_, isa, limits).value();
  }
  Attention& attention() { return *attention_; }

 private:
  ThreadPool pool_;
  HostMemory memory_;
  std::unique_ptr<Attention> attention_;
};

inline float ScaleOf(const GqaShape& shape) {
  return 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
}

// What a layer adds to plain attention; rows of its matrices are the batch's.
struct GqaExtras {
  ScoreRules scores;
  const HostMatrix* q2 = nullptr;
};

// Attention of rows [row, row + out.rows) of `qkv` into `out`; `batch` holds those rows.
inline void RunGqaRows(Attention& attention, const PagedKv& kv, const HostMatrix& qkv, int64_t row,
                       const AttentionBatch& batch, const DeviceMatrix& out,
                       const GqaExtras& extras) {
  GqaParams params{qkv.view().Rows(row, out.rows),
                   out,
                   kv.shape(),
                   ScaleOf(kv.shape()),
                   kv.view(),
                   extras.scores,
                   kv.prefix()};
  if (extras.q2 != nullptr) params.prefix.q2 = extras.q2->view().Rows(row, out.rows);
  if (extras.scores.bias.data != nullptr) {
    params.scores.bias.data += row * extras.scores.bias.row_stride;
  }
  attention.Gqa(params, batch);
}

// Attention of `qkv`'s queries over `kv`.
inline HostMatrix RunGqa(Attention& attention, const PagedKv& kv, const HostMatrix& qkv,
                         const GqaExtras& extras = {}) {
  HostMatrix out(qkv.view().dtype, kv.num_tokens(), kv.shape().out_width());
  RunGqaRows(attention, kv, qkv, 0, kv.batch(), out.view(), extras);
  return out;
}

// Of rows [begin, end) of entry `e` alone, counted within the entry.
inline HostMatrix RunGqaSlice(Attention& attention, const PagedKv& kv, const HostMatrix& qkv,
                              int64_t e, int32_t begin, int32_t end, const GqaExtras& extras = {}) {
  PagedKv::SliceStorage storage;
  HostMatrix out(qkv.view().dtype, end - begin, kv.shape().out_width());
  RunGqaRows(attention, kv, qkv, kv.batch().query_start.data[e] + begin,
             kv.Slice(e, begin, end, storage), out.view(), extras);
  return out;
}

// The most that an element may be off, for standard normal queries, keys and values:
//  - a score is a sum of D products of size |q| |k| scale <= 2 sqrt(D) in all, rounded D times, and
//    an error d in a score moves a probability by the factor e^d;
//  - where bf16 pairs are multiplied, probabilities (and fp32 queries) are rounded to bf16 first;
//  - values are at most 6, their weighted sum is rounded once per key (they walk: sqrt), and the
//    result is rounded to its type.
inline double AttendedBound(CpuIsa isa, int head_dim, DType cache, DType act, double want) {
  constexpr double kMostValue = 6.0;
  const double dim = head_dim;
  const bool pairs = isa == CpuIsa::kAvx512Bf16 && cache == DType::kBFloat16;
  double score_error = std::sqrt(dim) * 0x1p-23 * 2 * std::sqrt(dim);
  if (pairs && act == DType::kFloat32) score_error += 0x1p-8 * 2;
  const double probability_error = pairs ? 0x1p-8 : 0x1p-22;
  return kMostValue * (score_error + probability_error + 0x1p-19) +
         2 * RoundingError(act, std::fabs(want));
}

inline double GqaBound(CpuIsa isa, const PagedKv& kv, DType act, double want) {
  return AttendedBound(isa, kv.shape().head_dim, kv.view().layout.dtype, act, want);
}

// Compares the CPU's attention with the reference.
inline ::testing::AssertionResult MatchesReference(CpuIsa isa, CpuBackend& backend,
                                                   const PagedKv& kv, DType act, uint32_t seed,
                                                   const GqaExtras& extras = {}) {
  HostMatrix qkv(act, kv.num_tokens(), kv.shape().qkv_width(), kv.shape().qkv_width() + 6);
  qkv.FillNormal(seed);
  const HostMatrix out = RunGqa(backend.attention(), kv, qkv, extras);
  const HostMatrix want = RunGqa(*MakeReferenceAttention(), kv, qkv, extras);
  return Near(out, want,
              [&](int64_t r, int64_t c) { return GqaBound(isa, kv, act, want.at(r, c)); });
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_GQA_HARNESS_H_
