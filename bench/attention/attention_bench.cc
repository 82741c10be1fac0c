// Attention of the CPU backend with the heads of Qwen3-0.6B (16 query, 8 key/value, 128 dims), over
// caches that no cache of the machine holds.
//
//   attention_bench [--isa=auto] [--threads=N] [google benchmark flags]
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "attention/cpu/cpu_attention.h"
#include "bench/attention/paged_batch.h"
#include "bench/ops/ceilings.h"
#include "bench/ops/setup.h"
#include "benchmark/benchmark.h"
#include "core/ceil_div.h"

namespace quire::bench {
namespace {

constexpr int kBlockTokens = 64;

// A paged batch, its queries and what comes out.
class Batch : public PagedBatch {
 public:
  Batch(Setup& setup, const GqaShape& shape, int64_t entries, int64_t query_tokens,
        int64_t kv_tokens, int64_t copies)
      : PagedBatch(setup, LayoutOf(shape), entries, query_tokens, kv_tokens, copies),
        shape_(shape),
        qkv_(rows() * shape.qkv_width(), ToBf16(0.1F)),
        out_(rows() * shape.out_width()) {}

  static KvPageLayout LayoutOf(const GqaShape& shape) {
    return {shape.num_kv_heads, shape.head_dim, shape.value_dim, kBlockTokens, DType::kBFloat16};
  }
  static int64_t TokenBytes(const GqaShape& shape) {
    return static_cast<int64_t>(LayoutOf(shape).token_bytes());
  }

  GqaParams Gqa() {
    const int64_t width = shape_.qkv_width();
    const int64_t out_width = shape_.out_width();
    return {{qkv_.data(), DType::kBFloat16, rows(), width, width},
            {out_.data(), DType::kBFloat16, rows(), out_width, out_width},
            shape_,
            1.0F / std::sqrt(static_cast<float>(shape_.head_dim)),
            Kv(),
            {},
            {}};
  }

 private:
  GqaShape shape_;
  std::vector<bf16> qkv_, out_;
};

void BM_Decode(benchmark::State& state, Setup& setup, Attention& attention, const GqaShape& shape,
               int64_t entries, int64_t context) {
  const int64_t bytes = entries * context * Batch::TokenBytes(shape);
  Batch batch(setup, shape, entries, 1, context, CopiesFor(bytes));
  const Work work{static_cast<double>(bytes),
                  4.0 * static_cast<double>(entries * context) * shape.num_heads * shape.head_dim};
  Report(state, setup.ceilings, setup.isa, setup.isa == CpuIsa::kAvx512Bf16, Bound::kMemory, work,
         [&](int64_t i) { attention.Gqa(batch.Gqa(), batch.View(i)); });
}

void BM_Prefill(benchmark::State& state, Setup& setup, Attention& attention, const GqaShape& shape,
                int64_t tokens) {
  Batch batch(setup, shape, 1, tokens, tokens, 1);
  const auto seen = static_cast<double>(tokens) * static_cast<double>(tokens + 1) / 2;
  const Work work{static_cast<double>(tokens) * static_cast<double>(batch.layout().token_bytes()),
                  4.0 * seen * shape.num_heads * shape.head_dim};
  Report(state, setup.ceilings, setup.isa, setup.isa == CpuIsa::kAvx512Bf16, Bound::kCompute, work,
         [&](int64_t i) { attention.Gqa(batch.Gqa(), batch.View(i)); });
}

// One decoded token per entry that sees `prefix` keys in front of its window.
void BM_WindowDecode(benchmark::State& state, Setup& setup, Attention& attention,
                     const GqaShape& shape, int64_t entries, int64_t context, int prefix,
                     const ScoreRules& rules) {
  const int64_t seen = std::min<int64_t>(context, shape.window + prefix);
  const int64_t bytes = entries * seen * Batch::TokenBytes(shape);
  const Work work{static_cast<double>(bytes),
                  4.0 * static_cast<double>(entries * seen) * shape.num_heads * shape.head_dim};
  Batch batch(setup, shape, entries, 1, context, CopiesFor(bytes));
  std::vector<int32_t> prefix_start(entries + 1);
  std::iota(prefix_start.begin(), prefix_start.end(), 0);
  std::vector<int32_t> prefix_blocks(entries);
  const int64_t pages = CeilDiv(context, kBlockTokens);
  Report(state, setup.ceilings, setup.isa, setup.isa == CpuIsa::kAvx512Bf16, Bound::kMemory, work,
         [&](int64_t i) {
           GqaParams params = batch.Gqa();
           params.scores = rules;
           params.prefix.tokens = prefix;
           params.prefix.q2 = params.qkv;  // its first columns: q once more
           params.prefix.q2.cols = int64_t{shape.num_heads} * shape.head_dim;
           AttentionBatch view = batch.View(i);
           for (int64_t e = 0; e < entries; ++e) prefix_blocks[e] = view.blocks.data[e * pages];
           view.prefix_start = {prefix_start.data(), entries + 1};
           view.prefix_blocks = {prefix_blocks.data(), entries};
           attention.Gqa(params, view);
         });
}

// `sequences` of `tokens` each, all of which see each other.
void BM_Encode(benchmark::State& state, Setup& setup, Attention& attention, const GqaShape& shape,
               int64_t sequences, int64_t tokens) {
  const int64_t rows = sequences * tokens;
  const int64_t width = shape.qkv_width();
  const int64_t out_width = shape.out_width();
  std::vector<bf16> qkv(rows * width, ToBf16(0.1F));
  std::vector<bf16> out(rows * out_width);
  std::vector<int32_t> query_start;
  for (int64_t s = 0; s <= sequences; ++s) {
    query_start.push_back(static_cast<int32_t>(s * tokens));
  }
  EncoderParams params;
  params.qkv = {qkv.data(), DType::kBFloat16, rows, width, width};
  params.out = {out.data(), DType::kBFloat16, rows, out_width, out_width};
  params.shape = shape;
  params.scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  const int64_t seen = shape.window > 0 ? std::min<int64_t>(tokens, shape.window + 1) : tokens;
  const Work work{2.0 * static_cast<double>(rows * (width + out_width)),
                  4.0 * static_cast<double>(rows * seen) * shape.num_heads * shape.head_dim};
  Report(state, setup.ceilings, setup.isa, setup.isa == CpuIsa::kAvx512Bf16, Bound::kCompute, work,
         [&](int64_t /*i*/) {
           attention.Encode(params, {query_start.data(), sequences + 1});
         });
}

void BM_NormRopeWrite(benchmark::State& state, Setup& setup, Attention& attention,
                      const GqaShape& shape, int64_t tokens, QkNorm qk_norm, bool interleaved) {
  Batch batch(setup, shape, 1, tokens, tokens, 1);
  const std::vector<float> norm(shape.num_heads * shape.head_dim, 1.0F);
  const std::vector<float> table(tokens * shape.head_dim / 2, 0.7F);
  const GqaParams gqa = batch.Gqa();
  const NormRopeWriteParams params{
      .qkv = gqa.qkv,
      .shape = shape,
      .qk_norm = qk_norm,
      .q_norm = norm.data(),
      .k_norm = norm.data(),
      .rope = {table.data(), table.data(), tokens, shape.head_dim, interleaved},
      .kv = batch.Kv()};
  // Reads the row, writes q back and k and v to their slots.
  const Work work{2.0 * 2.0 * static_cast<double>(tokens * shape.qkv_width()), 0};
  Report(state, setup.ceilings, setup.isa, false, Bound::kMemory, work,
         [&](int64_t i) { attention.NormRopeWrite(params, batch.View(i)); });
}

void Register(Setup& setup, Attention& attention) {
  const auto add = [&](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime();
  };
  const GqaShape qwen{16, 8, 128, 128, 0};
  const GqaShape wide{32, 4, 128, 128, 0};  // groups of 8
  for (const auto& [shape, shape_name] : {std::pair{qwen, "16q8kv"}, std::pair{wide, "32q4kv"}}) {
    const GqaShape s = shape;
    for (int64_t entries : {1, 8, 32}) {
      for (int64_t context : {512, 2048, 8192}) {
        add(absl::StrCat("decode/", shape_name, "/batch", entries, "/ctx", context),
            [&setup, &attention, s, entries, context](benchmark::State& state) {
              BM_Decode(state, setup, attention, s, entries, context);
            });
      }
    }
    for (int64_t tokens : {512, 1024, 2048, 4096}) {
      add(absl::StrCat("prefill/", shape_name, "/T", tokens),
          [&setup, &attention, s, tokens](benchmark::State& state) {
            BM_Prefill(state, setup, attention, s, tokens);
          });
    }
  }
  const GqaShape windowed{16, 8, 128, 128, 1024};
  ScoreRules capped;
  capped.softcap = 50.0F;
  const std::vector<std::pair<std::string, std::pair<int, ScoreRules>>> variants = {
      {"plain", {0, {}}}, {"keep4", {4, {}}}, {"softcap", {0, capped}}};
  for (const auto& [name, variant] : variants) {
    for (int64_t entries : {1, 8}) {
      add(absl::StrCat("window_decode/W1024/", name, "/batch", entries, "/ctx4096"),
          [&setup, &attention, windowed, entries, variant](benchmark::State& state) {
            BM_WindowDecode(state, setup, attention, windowed, entries, 4096, variant.first,
                            variant.second);
          });
    }
  }
  for (const auto& [sequences, tokens] :
       {std::pair{32, 16}, std::pair{8, 128}, std::pair{2, 512}}) {
    for (int window : {0, 128}) {
      const GqaShape bert{12, 12, 64, 64, window};
      const int64_t s = sequences;
      const int64_t t = tokens;
      add(absl::StrCat("encode/12h64/window", window, "/", s, "x", t),
          [&setup, &attention, bert, s, t](benchmark::State& state) {
            BM_Encode(state, setup, attention, bert, s, t);
          });
    }
  }
  const std::pair<const char*, QkNorm> norms[] = {{"none", QkNorm::kNone},
                                                  {"per_head", QkNorm::kPerHead},
                                                  {"full_width", QkNorm::kFullWidth},
                                                  {"layer", QkNorm::kPerHeadLayerNorm}};
  for (const auto& [name, norm] : norms) {
    for (bool interleaved : {false, true}) {
      for (int64_t tokens : {1, 32, 512}) {
        add(absl::StrCat("norm_rope_write/", name, interleaved ? "/pairs" : "/halves", "/T",
                         tokens),
            [&setup, &attention, qwen, tokens, norm = norm, interleaved](benchmark::State& state) {
              BM_NormRopeWrite(state, setup, attention, qwen, tokens, norm, interleaved);
            });
      }
    }
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const SetupFlags flags = ParseSetupFlags(argc, argv);
  Setup setup(flags);
  const auto attention =
      MakeCpuAttention(setup.pool, setup.memory, setup.isa,
                       {.encoder_tokens = 1024, .encoder_token_bytes = 2 * 12 * 64 * 2})
          .value();
  Register(setup, *attention);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quire::bench

int main(int argc, char** argv) { return quire::bench::Main(argc, argv); }
