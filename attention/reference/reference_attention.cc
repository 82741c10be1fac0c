#include "attention/reference/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "attention/attention_checks.h"
#include "core/check.h"
#include "core/elements.h"

namespace quire {
namespace {

// One head of one token, in fp64. In place: norm, then rotation.
using Head = std::vector<double>;  // [D]

Head LoadHead(const DeviceMatrix& qkv, int64_t row, int64_t first_col, int head_dim) {
  Head head(head_dim);
  for (int d = 0; d < head_dim; ++d) head[d] = LoadElement(qkv, row, first_col + d);
  return head;
}

void Normalise(Head& head, const float* weight, float eps) {
  if (weight == nullptr) return;
  double sum = 0.0;
  for (double x : head) sum += x * x;
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(head.size()) + eps);
  for (size_t d = 0; d < head.size(); ++d) head[d] *= scale * weight[d];
}

void Rotate(Head& head, const RopeTable& rope, int64_t row) {
  const int half = rope.rotary_dim / 2;
  for (int i = 0; i < half; ++i) {
    const double cos = rope.cos[row * half + i];
    const double sin = rope.sin[row * half + i];
    const double a = head[i];
    const double b = head[i + half];
    head[i] = a * cos - b * sin;
    head[i + half] = b * cos + a * sin;
  }
}

char* Page(const PagedKvView& kv, int64_t block) {
  return static_cast<char*>(kv.base) + block * kv.page_stride_bytes;
}

// The page and the place in it of `position` of entry `e`.
struct KvPlace {
  const char* page;
  int token;
};

KvPlace Locate(const GqaParams& params, const AttentionBatch& batch, int64_t e, int64_t position) {
  const int block_tokens = params.kv.layout.block_tokens;
  const int64_t index =
      batch.table_start.data[e] + position / block_tokens - batch.first_block.data[e];
  QUIRE_CHECK_GE(index, int64_t{batch.table_start.data[e]});
  QUIRE_CHECK_LT(index, int64_t{batch.table_start.data[e + 1]});
  return {Page(params.kv, batch.blocks.data[index]), static_cast<int>(position % block_tokens)};
}

class ReferenceAttention : public Attention {
 public:
  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckNormRopeWrite(params, batch);
    const GqaShape& shape = params.shape;
    const KvPageLayout& layout = params.kv.layout;
    const int dim = shape.head_dim;
    for (int64_t t = 0; t < params.qkv.rows; ++t) {
      const int64_t rope_row = batch.rope_rows.data[t];
      for (int h = 0; h < shape.num_heads; ++h) {
        Head q = LoadHead(params.qkv, t, int64_t{h} * dim, dim);
        Normalise(q, params.q_norm, params.norm_eps);
        Rotate(q, params.rope, rope_row);
        for (int d = 0; d < dim; ++d) {
          StoreElement(params.qkv, t, int64_t{h} * dim + d, static_cast<float>(q[d]));
        }
      }
      char* page = Page(params.kv, batch.slots.data[t] / layout.block_tokens);
      const int token = static_cast<int>(batch.slots.data[t] % layout.block_tokens);
      for (int h = 0; h < shape.num_kv_heads; ++h) {
        const int64_t key_col = int64_t{shape.num_heads + h} * dim;
        const int64_t value_col = key_col + int64_t{shape.num_kv_heads} * dim;
        Head k = LoadHead(params.qkv, t, key_col, dim);
        Normalise(k, params.k_norm, params.norm_eps);
        Rotate(k, params.rope, rope_row);
        for (int d = 0; d < dim; ++d) {
          StoreElement(page, layout.dtype, layout.KeyOffset(h, token, d), static_cast<float>(k[d]));
          StoreElement(page, layout.dtype, layout.ValueOffset(h, token, d),
                       LoadElement(params.qkv, t, value_col + d));
        }
      }
    }
  }

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    CheckGqa(params, batch);
    for (int64_t e = 0; e < batch.kv_len.size; ++e) {
      for (int64_t t = batch.query_start.data[e]; t < batch.query_start.data[e + 1]; ++t) {
        for (int h = 0; h < params.shape.num_heads; ++h) AttendHead(params, batch, e, t, h);
      }
    }
  }

  void CopyPages(const PagedKvView& kv,
                 absl::Span<const std::pair<BlockId, BlockId>> pages) override {
    for (const auto& [src, dst] : pages) {
      std::memcpy(Page(kv, dst.value()), Page(kv, src.value()), kv.layout.page_bytes());
    }
  }

 private:
  static void AttendHead(const GqaParams& params, const AttentionBatch& batch, int64_t e, int64_t t,
                         int h) {
    const GqaShape& shape = params.shape;
    const KvPageLayout& layout = params.kv.layout;
    const int dim = shape.head_dim;
    const int kv_head = h / shape.group();
    const int64_t position = batch.positions.data[t];
    const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, position - shape.window + 1) : 0;
    const Head q = LoadHead(params.qkv, t, int64_t{h} * dim, dim);
    std::vector<double> scores;
    double max = -INFINITY;
    for (int64_t j = begin; j <= position; ++j) {
      const KvPlace place = Locate(params, batch, e, j);
      double dot = 0.0;
      for (int d = 0; d < dim; ++d) {
        dot +=
            q[d] * LoadElement(place.page, layout.dtype, layout.KeyOffset(kv_head, place.token, d));
      }
      scores.push_back(dot * params.scale);
      max = std::max(max, scores.back());
    }
    double total = 0.0;
    std::vector<double> sum(dim, 0.0);
    for (int64_t j = begin; j <= position; ++j) {
      const KvPlace place = Locate(params, batch, e, j);
      const double p = std::exp(scores[j - begin] - max);
      total += p;
      for (int d = 0; d < dim; ++d) {
        sum[d] +=
            p * LoadElement(place.page, layout.dtype, layout.ValueOffset(kv_head, place.token, d));
      }
    }
    for (int d = 0; d < dim; ++d) {
      StoreElement(params.out, t, int64_t{h} * dim + d,
                   total > 0.0 ? static_cast<float>(sum[d] / total) : 0.0F);
    }
  }
};

}  // namespace

std::unique_ptr<Attention> MakeReferenceAttention() {
  return std::make_unique<ReferenceAttention>();
}

}  // namespace quire
