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

void StoreHead(const Head& head, const DeviceMatrix& m, int64_t row, int64_t first_col) {
  for (size_t d = 0; d < head.size(); ++d) {
    StoreElement(m, row, first_col + static_cast<int64_t>(d), static_cast<float>(head[d]));
  }
}

double InverseRms(const std::vector<double>& x, double eps) {
  double sum = 0.0;
  for (double v : x) sum += v * v;
  return 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
}

// Head `h` of the heads that lie side by side from `first_col` on.
Head LoadNormedHead(const NormRopeWriteParams& params, int64_t row, int64_t first_col, int heads,
                    int h, const float* weight) {
  const int dim = params.shape.head_dim;
  Head head = LoadHead(params.qkv, row, first_col + int64_t{h} * dim, dim);
  double scale = 1.0;
  switch (params.qk_norm) {
    case QkNorm::kNone:
      return head;
    case QkNorm::kPerHead:
      scale = InverseRms(head, params.norm_eps);
      break;
    case QkNorm::kFullWidth:
      scale = InverseRms(LoadHead(params.qkv, row, first_col, heads * dim), params.norm_eps);
      break;
    case QkNorm::kPerHeadLayerNorm:
      double mean = 0.0;
      for (double x : head) mean += x / dim;
      for (double& x : head) x -= mean;
      scale = InverseRms(head, params.norm_eps);
      break;
  }
  const bool each = params.weights_per_head || params.qk_norm == QkNorm::kFullWidth;
  for (int d = 0; d < dim; ++d) {
    head[d] *= scale * (weight == nullptr ? 1.0 : weight[(each ? h * dim : 0) + d]);
  }
  return head;
}

Head Rotated(Head head, const RopeTable& rope, int64_t row) {
  const int half = rope.rotary_dim / 2;
  for (int i = 0; i < half; ++i) {
    const int first = rope.interleaved ? 2 * i : i;
    const int second = rope.interleaved ? 2 * i + 1 : i + half;
    const double cos = rope.cos[row * half + i];
    const double sin = rope.sin[row * half + i];
    const double a = head[first];
    const double b = head[second];
    head[first] = a * cos - b * sin;
    head[second] = b * cos + a * sin;
  }
  return head;
}

char* Page(const PagedKvView& kv, int64_t block) {
  return static_cast<char*>(kv.base) + block * kv.page_stride_bytes;
}

// A key that a row sees, and what it brings.
struct SeenKey {
  Head key;
  Head value;
  int64_t distance;  // position of the key - position of the row
  int64_t column;    // of a bias
  bool through_q2;
};

SeenKey LoadPaged(const PagedKvView& kv, int64_t block, int64_t position, int kv_head) {
  const KvPageLayout& layout = kv.layout;
  const char* page = Page(kv, block);
  const auto token = static_cast<int>(position % layout.block_tokens);
  SeenKey seen{};
  for (int d = 0; d < layout.head_dim; ++d) {
    seen.key.push_back(LoadElement(page, layout.dtype, layout.KeyOffset(kv_head, token, d)));
  }
  for (int d = 0; d < layout.value_dim; ++d) {
    seen.value.push_back(LoadElement(page, layout.dtype, layout.ValueOffset(kv_head, token, d)));
  }
  seen.column = position;
  return seen;
}

double Score(const ScoreRules& rules, const Head& q, const SeenKey& seen, float scale, int64_t t,
             int h) {
  double s = 0.0;
  for (size_t d = 0; d < q.size(); ++d) s += q[d] * seen.key[d];
  s *= scale;
  if (rules.softcap > 0) s = rules.softcap * std::tanh(s / rules.softcap);
  if (rules.alibi_slopes != nullptr) {
    s += rules.alibi_slopes[h] * static_cast<double>(seen.distance);
  }
  const AttentionBias& bias = rules.bias;
  if (bias.data != nullptr) {
    s += bias.data[h * bias.head_stride + t * bias.row_stride + seen.column];
  }
  return s;
}

// Head `h` of row `t`: the softmax of its scores times the values.
template <typename Params>
void AttendHead(const Params& params, const Head& q, const Head& q2,
                const std::vector<SeenKey>& seen, int64_t t, int h) {
  std::vector<double> scores;
  double max = -INFINITY;
  for (const SeenKey& key : seen) {
    scores.push_back(Score(params.scores, key.through_q2 ? q2 : q, key, params.scale, t, h));
    max = std::max(max, scores.back());
  }
  const int dim = params.shape.value_dim;
  Head sum(dim, 0.0);
  if (max == -INFINITY) return StoreHead(sum, params.out, t, int64_t{h} * dim);
  double total = 0.0;
  if (params.scores.sink_logits != nullptr) {
    const double sink = params.scores.sink_logits[h];
    max = std::max(max, sink);
    total = std::exp(sink - max);
  }
  for (size_t j = 0; j < seen.size(); ++j) {
    const double p = std::exp(scores[j] - max);
    total += p;
    for (int d = 0; d < dim; ++d) sum[d] += p * seen[j].value[d];
  }
  for (double& x : sum) x /= total;
  StoreHead(sum, params.out, t, int64_t{h} * dim);
}

class ReferenceAttention : public Attention {
 public:
  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckNormRopeWrite(params, batch);
    const KvPageLayout& layout = params.kv.layout;
    for (int64_t t = 0; t < params.qkv.rows; ++t) {
      const int64_t row2 = params.q2.data == nullptr ? -1 : batch.rope_rows2.data[t];
      TurnQueries(params, t, batch.rope_rows.data[t], row2);
      const std::vector<Head> keys = TurnedKeys(params, t, batch.rope_rows.data[t]);
      char* page = Page(params.kv, batch.slots.data[t] / layout.block_tokens);
      const int token = static_cast<int>(batch.slots.data[t] % layout.block_tokens);
      for (int h = 0; h < params.shape.num_kv_heads; ++h) {
        for (int d = 0; d < layout.head_dim; ++d) {
          StoreElement(page, layout.dtype, layout.KeyOffset(h, token, d),
                       static_cast<float>(keys[h][d]));
        }
        const Head value = LoadValue(params.qkv, params.shape, t, h);
        for (int d = 0; d < layout.value_dim; ++d) {
          StoreElement(page, layout.dtype, layout.ValueOffset(h, token, d),
                       static_cast<float>(value[d]));
        }
      }
    }
  }

  void NormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) override {
    CheckNormRope(params, rope_rows);
    for (int64_t t = 0; t < params.qkv.rows; ++t) {
      TurnQueries(params, t, rope_rows.data[t], -1);
      const std::vector<Head> keys = TurnedKeys(params, t, rope_rows.data[t]);
      for (int h = 0; h < params.shape.num_kv_heads; ++h) {
        StoreHead(keys[h], params.qkv, t, KeyColumn(params.shape, h));
      }
    }
  }

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    CheckGqa(params, batch);
    for (int64_t e = 0; e < batch.kv_len.size; ++e) {
      for (int64_t t = batch.query_start.data[e]; t < batch.query_start.data[e + 1]; ++t) {
        for (int h = 0; h < params.shape.num_kv_heads; ++h) AttendGroup(params, batch, e, t, h);
      }
    }
  }

  void Encode(const EncoderParams& params, DeviceArray<const int32_t> query_start) override {
    CheckEncode(params, query_start);
    for (int64_t s = 0; s + 1 < query_start.size; ++s) {
      const int64_t begin = query_start.data[s];
      const int64_t end = query_start.data[s + 1];
      for (int h = 0; h < params.shape.num_kv_heads; ++h) EncodeGroup(params, begin, end, h);
    }
  }

  void CopyPages(const PagedKvView& kv,
                 absl::Span<const std::pair<BlockId, BlockId>> pages) override {
    for (const auto& [src, dst] : pages) {
      std::memcpy(Page(kv, dst.value()), Page(kv, src.value()), kv.layout.page_bytes());
    }
  }

 private:
  static int64_t KeyColumn(const GqaShape& shape, int kv_head) {
    return int64_t{shape.num_heads + kv_head} * shape.head_dim;
  }
  static Head LoadValue(const DeviceMatrix& qkv, const GqaShape& shape, int64_t t, int kv_head) {
    const int64_t first = KeyColumn(shape, shape.num_kv_heads);
    return LoadHead(qkv, t, first + int64_t{kv_head} * shape.value_dim, shape.value_dim);
  }

  // Queries of row `t`, in place, and q2 where row2 is not -1. All are read before one is written:
  // a norm may span them.
  static void TurnQueries(const NormRopeWriteParams& params, int64_t t, int64_t row, int64_t row2) {
    const GqaShape& shape = params.shape;
    std::vector<Head> heads;
    for (int h = 0; h < shape.num_heads; ++h) {
      heads.push_back(LoadNormedHead(params, t, 0, shape.num_heads, h, params.q_norm));
    }
    for (int h = 0; h < shape.num_heads; ++h) {
      const int64_t col = int64_t{h} * shape.head_dim;
      StoreHead(Rotated(heads[h], params.rope, row), params.qkv, t, col);
      if (row2 >= 0) StoreHead(Rotated(heads[h], params.rope, row2), params.q2, t, col);
    }
  }

  static std::vector<Head> TurnedKeys(const NormRopeWriteParams& params, int64_t t, int64_t row) {
    const GqaShape& shape = params.shape;
    std::vector<Head> heads;
    for (int h = 0; h < shape.num_kv_heads; ++h) {
      heads.push_back(Rotated(
          LoadNormedHead(params, t, KeyColumn(shape, 0), shape.num_kv_heads, h, params.k_norm),
          params.rope, row));
    }
    return heads;
  }

  // What the prefix shows to a row at `position`.
  static std::vector<SeenKey> SeenOfPrefix(const GqaParams& params, const AttentionBatch& batch,
                                           int64_t e, int64_t position, int kv_head) {
    const KvPrefix& prefix = params.prefix;
    const int block_tokens = params.kv.layout.block_tokens;
    std::vector<SeenKey> seen;
    for (int64_t j = 0; j < prefix.tokens; ++j) {
      if (!prefix.shared && j > position) break;
      const int32_t* blocks = prefix.shared ? prefix.blocks.data
                                            : batch.prefix_blocks.data + batch.prefix_start.data[e];
      seen.push_back(LoadPaged(params.kv, blocks[j / block_tokens], j, kv_head));
      const int64_t own_end = int64_t{prefix.tokens} + params.shape.window - 1;
      seen.back().distance =
          prefix.shared ? j - prefix.tokens - position : j - std::min(position, own_end);
      seen.back().through_q2 = prefix.q2.data != nullptr;
    }
    return seen;
  }

  static void AttendGroup(const GqaParams& params, const AttentionBatch& batch, int64_t e,
                          int64_t t, int kv_head) {
    const GqaShape& shape = params.shape;
    const int block_tokens = params.kv.layout.block_tokens;
    const int64_t position = batch.positions.data[t];
    std::vector<SeenKey> seen = SeenOfPrefix(params, batch, e, position, kv_head);
    int64_t begin = params.prefix.shared ? 0 : params.prefix.tokens;
    if (shape.window > 0) begin = std::max(begin, position - shape.window + 1);
    for (int64_t j = begin; j <= position; ++j) {
      const int64_t index =
          batch.table_start.data[e] + j / block_tokens - batch.first_block.data[e];
      QUIRE_CHECK_GE(index, int64_t{batch.table_start.data[e]});
      QUIRE_CHECK_LT(index, int64_t{batch.table_start.data[e + 1]});
      seen.push_back(LoadPaged(params.kv, batch.blocks.data[index], j, kv_head));
      seen.back().distance = j - position;
    }
    const DeviceMatrix& q2 = params.prefix.q2.data == nullptr ? params.qkv : params.prefix.q2;
    for (int h = kv_head * shape.group(); h < (kv_head + 1) * shape.group(); ++h) {
      const int64_t col = int64_t{h} * shape.head_dim;
      AttendHead(params, LoadHead(params.qkv, t, col, shape.head_dim),
                 LoadHead(q2, t, col, shape.head_dim), seen, t, h);
    }
  }

  // The rows [begin, end) of a sequence.
  static void EncodeGroup(const EncoderParams& params, int64_t begin, int64_t end, int kv_head) {
    const GqaShape& shape = params.shape;
    const int64_t around = shape.window > 0 ? shape.window / 2 : end;
    for (int64_t t = begin; t < end; ++t) {
      std::vector<SeenKey> seen;
      for (int64_t k = begin; k < end; ++k) {
        if (std::abs(t - k) > around) continue;
        seen.push_back({LoadHead(params.qkv, k, KeyColumn(shape, kv_head), shape.head_dim),
                        LoadValue(params.qkv, shape, k, kv_head), k - t, k - begin, false});
      }
      for (int h = kv_head * shape.group(); h < (kv_head + 1) * shape.group(); ++h) {
        const Head q = LoadHead(params.qkv, t, int64_t{h} * shape.head_dim, shape.head_dim);
        AttendHead(params, q, q, seen, t, h);
      }
    }
  }
};

}  // namespace

std::unique_ptr<Attention> MakeReferenceAttention() {
  return std::make_unique<ReferenceAttention>();
}

}  // namespace quire
