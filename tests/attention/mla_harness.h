// Runs backends of latent attention over a paged cache and says how far they may be apart.
#ifndef QUIRE_TESTS_ATTENTION_MLA_HARNESS_H_
#define QUIRE_TESTS_ATTENTION_MLA_HARNESS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "attention/cpu/cpu_mla.h"
#include "attention/reference/reference_mla.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire::testing {

// A CPU backend and what it stands on.
class CpuMlaBackend {
 public:
  CpuMlaBackend(CpuIsa isa, const MlaShape& shape, DType dtype, int threads = 2,
                int64_t max_rows = 2048)
      : pool_(threads), memory_(pool_) {
    mla_ = MakeCpuMla(pool_, memory_, isa,
                      {.shape = shape, .max_rows = max_rows, .cache_dtype = dtype})
               .value();
  }
  Mla& mla() { return *mla_; }

 private:
  ThreadPool pool_;
  HostMemory memory_;
  std::unique_ptr<Mla> mla_;
};

// The cache of `shape` as PagedKv knows it.
inline GqaShape CacheShape(const MlaShape& shape) {
  return {shape.num_heads, 1, shape.cache_dim(), 0, 0};
}

// Makes scores of standard normal queries and keys standard normal.
inline float UnitScale(int64_t dim) { return 1.0F / std::sqrt(static_cast<float>(dim)); }

// Random W_UK and W_UV of all heads, with rows of norm about 1; each product a row by itself, in
// fp64, rounded once.
class UpProjection {
 public:
  explicit UpProjection(const MlaShape& shape, uint32_t seed = 7) : shape_(shape) {
    std::mt19937 random(seed);
    // Uniform: some shapes have millions.
    const float size = std::sqrt(12.0F) * UnitScale(shape.latent_dim);
    weight_.resize(shape.latent_dim * shape.expanded_width());
    for (float& w : weight_) w = size * (static_cast<float>(random() >> 8) * 0x1p-24F - 0.5F);
    sums_.resize(shape.expanded_width());
  }

  // Columns of head h in a row of all heads: k_n from 0 on, v from Dn on.
  float weight(int64_t r, int head, int64_t col) const {
    return weight_[r * shape_.expanded_width() + head * (shape_.nope_dim + shape_.value_dim) + col];
  }

  void Apply(const DeviceMatrix& latent, const DeviceMatrix& kv) {
    for (int64_t row = 0; row < latent.rows; ++row) {
      std::fill(sums_.begin(), sums_.end(), 0.0);
      for (int64_t r = 0; r < latent.cols; ++r) {
        const double x = LoadElement(latent, row, r);
        const float* w = weight_.data() + r * shape_.expanded_width();
        for (size_t c = 0; c < sums_.size(); ++c) sums_[c] += x * w[c];
      }
      for (size_t c = 0; c < sums_.size(); ++c) {
        StoreElement(kv, row, static_cast<int64_t>(c), static_cast<float>(sums_[c]));
      }
    }
  }

 private:
  MlaShape shape_;
  std::vector<float> weight_;  // [R, H (Dn + Dv)]
  std::vector<double> sums_;
};

// Of the batch's first rows, as many as q_latent has.
inline HostMatrix RunAbsorbed(Mla& mla, const MlaShape& shape, const PagedKv& kv,
                              const AttentionBatch& batch, const DeviceMatrix& q_latent,
                              const DeviceMatrix& q) {
  HostMatrix out(q.dtype, q_latent.rows, shape.latent_width(), shape.latent_width() + 4);
  mla.Absorbed({.q_latent = q_latent,
                .q = q.Rows(0, q_latent.rows),
                .out = out.view(),
                .shape = shape,
                .scale = UnitScale(shape.latent_dim + shape.rope_dim),
                .kv = kv.view()},
               batch);
  return out;
}

inline HostMatrix RunPrefill(Mla& mla, const MlaShape& shape, const PagedKv& kv,
                             const AttentionBatch& batch, const DeviceMatrix& q,
                             UpProjection& projection, int64_t first_row = 0) {
  HostMatrix out(q.dtype, q.rows, shape.out_width(), shape.out_width() + 4);
  mla.Prefill({.q = q,
               .out = out.view(),
               .first_row = first_row,
               .shape = shape,
               .scale = UnitScale(shape.head_dim()),
               .kv = kv.view()},
              batch, [&](const DeviceMatrix& latent, const DeviceMatrix& expanded) {
                projection.Apply(latent, expanded);
              });
  return out;
}

// Attention of all rows by the absorbed form, with the products around it: q_lat = q_n W_UK^T in
// fp32, o = o_lat W_UV.
inline HostMatrix RunAbsorbedWhole(Mla& mla, const MlaShape& shape, const PagedKv& kv,
                                   const HostMatrix& q, const UpProjection& projection) {
  const int64_t rows = q.view().rows;
  HostMatrix q_latent(DType::kFloat32, rows, shape.latent_width());
  for (int64_t t = 0; t < rows; ++t) {
    for (int h = 0; h < shape.num_heads; ++h) {
      for (int64_t r = 0; r < shape.latent_dim; ++r) {
        double sum = 0.0;
        for (int d = 0; d < shape.nope_dim; ++d) {
          sum += double{q.at(t, int64_t{h} * shape.head_dim() + shape.nope_begin() + d)} *
                 projection.weight(r, h, d);
        }
        q_latent.set(t, int64_t{h} * shape.latent_dim + r, static_cast<float>(sum));
      }
    }
  }
  HostMatrix o_latent(q.view().dtype, rows, shape.latent_width());
  mla.Absorbed({.q_latent = q_latent.view(),
                .q = q.view(),
                .out = o_latent.view(),
                .shape = shape,
                .scale = UnitScale(shape.head_dim()),
                .kv = kv.view()},
               kv.batch());
  HostMatrix out(q.view().dtype, rows, shape.out_width());
  for (int64_t t = 0; t < rows; ++t) {
    for (int h = 0; h < shape.num_heads; ++h) {
      for (int64_t d = 0; d < shape.value_dim; ++d) {
        double sum = 0.0;
        for (int64_t r = 0; r < shape.latent_dim; ++r) {
          sum += double{o_latent.at(t, int64_t{h} * shape.latent_dim + r)} *
                 projection.weight(r, h, shape.nope_dim + d);
        }
        out.set(t, int64_t{h} * shape.value_dim + d, static_cast<float>(sum));
      }
    }
  }
  return out;
}

// The most that an element may be off, for standard normal queries, keys and values: as GqaBound.
// `dim` of a score's product; `q` the widest type of the queries.
inline double MlaBound(CpuIsa isa, DType cache, DType q, DType out, int64_t dim, double want) {
  constexpr double kMostValue = 6.0;
  const bool pairs = isa == CpuIsa::kAvx512Bf16 && cache == DType::kBFloat16;
  double score_error = static_cast<double>(dim) * 0x1p-22;
  if (pairs && q == DType::kFloat32) score_error += 0x1p-8 * 2;
  const double probability_error = pairs ? 0x1p-8 : 0x1p-22;
  return kMostValue * (score_error + probability_error + 0x1p-19) +
         2 * RoundingError(out, std::fabs(want));
}

// Compares the CPU's absorbed form with the reference's. q_latent is of type `latent_type`.
inline ::testing::AssertionResult AbsorbedMatchesReference(CpuIsa isa, CpuMlaBackend& backend,
                                                           const MlaShape& shape, const PagedKv& kv,
                                                           DType act, DType latent_type,
                                                           uint32_t seed) {
  const int64_t rows = kv.num_tokens();
  HostMatrix q_latent(latent_type, rows, shape.latent_width(), shape.latent_width() + 2);
  HostMatrix q(act, rows, shape.q_width(), shape.q_width() + 6);
  q_latent.FillNormal(seed);
  q.FillNormal(seed + 1);
  const HostMatrix out =
      RunAbsorbed(backend.mla(), shape, kv, kv.batch(), q_latent.view(), q.view());
  const auto reference = MakeReferenceMla();
  const HostMatrix want = RunAbsorbed(*reference, shape, kv, kv.batch(), q_latent.view(), q.view());
  const DType widest = act == DType::kFloat32 ? act : latent_type;
  const int64_t dim = shape.latent_dim + shape.rope_dim;
  return Near(out, want, [&](int64_t r, int64_t c) {
    return MlaBound(isa, kv.view().layout.dtype, widest, act, dim, want.at(r, c));
  });
}

// Likewise the un-absorbed form, which takes queries of the cache's type.
inline ::testing::AssertionResult PrefillMatchesReference(CpuIsa isa, CpuMlaBackend& backend,
                                                          const MlaShape& shape, const PagedKv& kv,
                                                          uint32_t seed) {
  const DType dtype = kv.view().layout.dtype;
  HostMatrix q(dtype, kv.num_tokens(), shape.q_width(), shape.q_width() + 6);
  q.FillNormal(seed);
  UpProjection projection(shape);
  const HostMatrix out = RunPrefill(backend.mla(), shape, kv, kv.batch(), q.view(), projection);
  const HostMatrix want =
      RunPrefill(*MakeReferenceMla(), shape, kv, kv.batch(), q.view(), projection);
  return Near(out, want, [&](int64_t r, int64_t c) {
    return MlaBound(isa, dtype, dtype, dtype, shape.head_dim(), want.at(r, c));
  });
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_MLA_HARNESS_H_
