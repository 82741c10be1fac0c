#include "attention/reference/reference_mla.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/functional/function_ref.h"
#include "attention/mla_checks.h"
#include "core/check.h"
#include "core/elements.h"

namespace quire {
namespace {

// dims [begin, begin + count) of a row, in fp64.
std::vector<double> Load(const DeviceMatrix& matrix, int64_t row, int64_t begin, int64_t count) {
  std::vector<double> x(count);
  for (int64_t i = 0; i < count; ++i) x[i] = LoadElement(matrix, row, begin + i);
  return x;
}

void Store(const DeviceMatrix& matrix, int64_t row, int64_t begin, const std::vector<double>& x) {
  for (size_t i = 0; i < x.size(); ++i) {
    StoreElement(matrix, row, begin + static_cast<int64_t>(i), static_cast<float>(x[i]));
  }
}

void Normalise(std::vector<double>& x, const float* weight, float eps) {
  if (weight == nullptr) return;
  double sum = 0.0;
  for (double v : x) sum += v * v;
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= scale * weight[i];
}

void Rotate(std::vector<double>& x, const RopeTable& rope, int64_t row) {
  const int half = rope.rotary_dim / 2;
  for (int i = 0; i < half; ++i) {
    double& a = x[rope.interleaved ? 2 * i : i];
    double& b = x[rope.interleaved ? 2 * i + 1 : half + i];
    const double cos = rope.cos[row * half + i];
    const double sin = rope.sin[row * half + i];
    const double turned = a * cos - b * sin;
    b = b * cos + a * sin;
    a = turned;
  }
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// sum of softmax(scores)[j] value(j).
std::vector<double> Attend(const std::vector<double>& scores, int64_t value_dim,
                           absl::FunctionRef<std::vector<double>(int64_t)> value) {
  std::vector<double> out(value_dim, 0.0);
  const double most = *std::max_element(scores.begin(), scores.end());
  double total = 0.0;
  for (size_t j = 0; j < scores.size(); ++j) {
    const double p = std::exp(scores[j] - most);
    total += p;
    const std::vector<double> v = value(static_cast<int64_t>(j));
    for (int64_t d = 0; d < value_dim; ++d) out[d] += p * v[d];
  }
  for (double& x : out) x /= total;
  return out;
}

// The cache rows of an entry.
class Latents {
 public:
  Latents(const PagedKvView& kv, const AttentionBatch& batch, int64_t entry)
      : kv_(kv), batch_(batch), entry_(entry) {}

  std::vector<double> At(int64_t position, int64_t begin, int64_t count) const {
    const int block_tokens = kv_.layout.block_tokens;
    const int64_t index = batch_.table_start.data[entry_] + position / block_tokens;
    QUIRE_CHECK_LT(index, int64_t{batch_.table_start.data[entry_ + 1]});
    const char* page =
        static_cast<char*>(kv_.base) + batch_.blocks.data[index] * kv_.page_stride_bytes;
    const auto token = static_cast<int>(position % block_tokens);
    std::vector<double> x(count);
    for (int64_t i = 0; i < count; ++i) {
      x[i] = LoadElement(page, kv_.layout.dtype,
                         kv_.layout.KeyOffset(0, token, static_cast<int>(begin + i)));
    }
    return x;
  }

 private:
  const PagedKvView& kv_;
  const AttentionBatch& batch_;
  int64_t entry_;
};

class ReferenceMla : public Mla {
 public:
  void NormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckMlaNormRopeWrite(params, batch);
    const MlaShape& shape = params.shape;
    for (int64_t t = 0; t < params.q.rows; ++t) {
      const int64_t rope_row = batch.rope_rows.data[t];
      for (int h = 0; h < shape.num_heads; ++h) {
        const int64_t begin = int64_t{h} * shape.head_dim() + shape.rope_begin();
        std::vector<double> q = Load(params.q, t, begin, shape.rope_dim);
        Rotate(q, params.rope, rope_row);
        Store(params.q, t, begin, q);
      }
      std::vector<double> c = Load(params.latent, t, 0, shape.latent_dim);
      Normalise(c, params.latent_norm, params.norm_eps);
      WriteDims(params, batch.slots.data[t], 0, c);
      for (int begin = shape.latent_dim; begin < shape.cache_dim(); begin += shape.rope_dim) {
        std::vector<double> k = Load(params.latent, t, begin, shape.rope_dim);
        Rotate(k, params.rope, rope_row);
        WriteDims(params, batch.slots.data[t], begin, k);
      }
    }
  }

  void Absorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) override {
    CheckMlaAbsorbed(params, batch);
    const MlaShape& shape = params.shape;
    ForEachRow(batch, 0, batch.kv_len.size, [&](int64_t e, int64_t row, int64_t keys) {
      const int64_t t = row - params.first_row;
      if (t < 0 || t >= params.q_latent.rows) return;
      const Latents latents(params.kv, batch, e);
      for (int h = 0; h < shape.num_heads; ++h) {
        const int64_t latent_col = int64_t{h} * shape.latent_dim;
        const std::vector<double> q = Load(params.q_latent, t, latent_col, shape.latent_dim);
        const std::vector<double> q_rope =
            Load(params.q, t, int64_t{h} * shape.head_dim() + shape.rope_begin(), shape.rope_dim);
        std::vector<double> scores(keys);
        for (int64_t j = 0; j < keys; ++j) {
          scores[j] =
              params.scale * (Dot(q, latents.At(j, 0, shape.latent_dim)) +
                              Dot(q_rope, latents.At(j, shape.key_rope_begin(h), shape.rope_dim)));
        }
        Store(params.out, t, latent_col, Attend(scores, shape.latent_dim, [&](int64_t j) {
                return latents.At(j, 0, shape.latent_dim);
              }));
      }
    });
  }

  void Prefill(const MlaPrefillParams& params, const AttentionBatch& batch,
               MlaExpand expand) override {
    CheckMlaPrefill(params, batch);
    const MlaShape& shape = params.shape;
    const int64_t first = MlaEntryOfRow(batch, params.first_row);
    for (int64_t e = first; e < batch.kv_len.size; ++e) {
      const Latents latents(params.kv, batch, e);
      const Expanded expanded(params, latents, batch.kv_len.data[e], expand);
      ForEachRow(batch, e, e + 1, [&](int64_t /*e*/, int64_t t, int64_t keys) {
        for (int h = 0; h < shape.num_heads; ++h) AttendHead(params, latents, expanded, t, h, keys);
      });
    }
  }

 private:
  // Keys without rotation and values of an entry's positions.
  class Expanded {
   public:
    Expanded(const MlaPrefillParams& params, const Latents& latents, int64_t keys,
             MlaExpand expand) {
      const MlaShape& shape = params.shape;
      const DType dtype = params.kv.layout.dtype;
      latent_.resize(keys * shape.latent_dim * DTypeBytes(dtype));
      kv_.resize(keys * shape.expanded_width() * DTypeBytes(dtype));
      const DeviceMatrix latent{latent_.data(), dtype, keys, shape.latent_dim, shape.latent_dim};
      view_ = {kv_.data(), dtype, keys, shape.expanded_width(), shape.expanded_width()};
      for (int64_t j = 0; j < keys; ++j) Store(latent, j, 0, latents.At(j, 0, shape.latent_dim));
      expand(latent, view_);
    }
    const DeviceMatrix& view() const { return view_; }

   private:
    std::vector<char> latent_, kv_;
    DeviceMatrix view_;
  };

  static void AttendHead(const MlaPrefillParams& params, const Latents& latents,
                         const Expanded& expanded, int64_t t, int h, int64_t keys) {
    const MlaShape& shape = params.shape;
    const int64_t q_col = int64_t{h} * shape.head_dim();
    const int64_t kv_col = int64_t{h} * (shape.nope_dim + shape.value_dim);
    const std::vector<double> q_nope =
        Load(params.q, t, q_col + shape.nope_begin(), shape.nope_dim);
    const std::vector<double> q_rope =
        Load(params.q, t, q_col + shape.rope_begin(), shape.rope_dim);
    std::vector<double> scores(keys);
    for (int64_t j = 0; j < keys; ++j) {
      scores[j] =
          params.scale * (Dot(q_nope, Load(expanded.view(), j, kv_col, shape.nope_dim)) +
                          Dot(q_rope, latents.At(j, shape.key_rope_begin(h), shape.rope_dim)));
    }
    Store(params.out, t, int64_t{h} * shape.value_dim,
          Attend(scores, shape.value_dim, [&](int64_t j) {
            return Load(expanded.view(), j, kv_col + shape.nope_dim, shape.value_dim);
          }));
  }

  // Calls run(entry, row, keys that the row sees) for the rows of entries [first, last).
  static void ForEachRow(const AttentionBatch& batch, int64_t first, int64_t last,
                         absl::FunctionRef<void(int64_t, int64_t, int64_t)> run) {
    for (int64_t e = first; e < last; ++e) {
      const int64_t end = batch.query_start.data[e + 1];
      for (int64_t t = batch.query_start.data[e]; t < end; ++t) {
        run(e, t, batch.kv_len.data[e] - (end - 1 - t));
      }
    }
  }

  static void WriteDims(const MlaNormRopeWriteParams& params, int64_t slot, int begin,
                        const std::vector<double>& x) {
    const KvPageLayout& layout = params.kv.layout;
    char* page = static_cast<char*>(params.kv.base) +
                 slot / layout.block_tokens * params.kv.page_stride_bytes;
    const auto token = static_cast<int>(slot % layout.block_tokens);
    for (size_t i = 0; i < x.size(); ++i) {
      StoreElement(page, layout.dtype, layout.KeyOffset(0, token, begin + static_cast<int>(i)),
                   static_cast<float>(x[i]));
    }
  }
};

}  // namespace

std::unique_ptr<Mla> MakeReferenceMla() { return std::make_unique<ReferenceMla>(); }

}  // namespace quire
