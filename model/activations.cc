#include "model/activations.h"

#include <algorithm>

#include "model/arena.h"

namespace quire {
namespace {

bool SeesSinksAfresh(const ModelConfig& config) {
  return std::any_of(config.layers.begin(), config.layers.end(),
                     [&](const LayerConfig& layer) { return config.StreamsSinks(layer); });
}

}  // namespace

Activations Activations::Lay(const ModelConfig& config, DType act_dtype,
                             const DecoderLimits& limits, void* base, size_t& bytes) {
  constexpr DType kFloat = DType::kFloat32;
  const int64_t rows = limits.max_batch_tokens;
  const int64_t hidden = config.hidden_size;
  const bool any_dense =
      std::any_of(config.layers.begin(), config.layers.end(), [](const auto& l) { return !l.moe; });
  const int64_t shared = config.moe ? config.moe->shared_intermediate_size : 0;
  const int64_t ffn = std::max(any_dense ? config.intermediate_size : 0, shared);
  Arena arena(base);
  Activations act{};
  act.residual = arena.Matrix(kFloat, rows, hidden);
  act.normed = arena.Matrix(act_dtype, rows, hidden);
  if (!config.mla) {  // which has its own
    act.qkv = arena.Matrix(act_dtype, rows, config.attention_shape(0).qkv_width());
    if (SeesSinksAfresh(config)) {
      act.streamed_q = arena.Matrix(act_dtype, rows, int64_t{config.num_heads} * config.head_dim);
    }
    act.attended = arena.Matrix(act_dtype, rows, config.attention_shape(0).out_width());
  }
  act.delta = arena.Matrix(kFloat, rows, hidden);
  act.up = arena.Matrix(act_dtype, rows, (config.gated_mlp ? 2 : 1) * ffn);
  act.gated = arena.Matrix(act_dtype, rows, ffn);
  if (config.moe) {
    act.router_logits = arena.Matrix(kFloat, rows, config.moe->routing.num_experts);
    act.chosen = arena.Matrix(kFloat, rows, config.moe->routing.top_k);
    act.expert_ids = arena.Ids(rows * config.moe->routing.top_k);
    if (shared > 0) act.shared = arena.Matrix(kFloat, rows, hidden);
    if (config.moe->shared_gate) act.shared_gate = arena.Matrix(kFloat, rows, 1);
  }
  if (config.token_types > 0) act.zero_ids = arena.Ids(rows);
  if (!config.is_encoder) {
    act.last = arena.Matrix(act_dtype, limits.max_logits_rows, hidden);
    act.logits = arena.Matrix(kFloat, limits.max_logits_rows, config.vocab_size);
  }
  bytes = arena.bytes();
  return act;
}

}  // namespace quire
