#include "model/decoder.h"

#include <cmath>

#include "core/check.h"
#include "core/status_macros.h"

namespace quire {

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(
    const ModelConfig& config, ModelWeights weights, const KvGroups& kv_groups, const KvStorage& kv,
    DType act_dtype, const DecoderLimits& limits, Ops& ops, Attention& attention,
    DeviceMemory& memory) {
  std::unique_ptr<Decoder> decoder(
      new Decoder(config, std::move(weights), kv_groups, kv, limits, ops, attention));
  QUIRE_ASSIGN_OR_RETURN(decoder->rope_,
                         RopeTables::Create(config.model_ropes(), limits.rope_rows, memory));
  QUIRE_ASSIGN_OR_RETURN(
      decoder->buffer_, memory.Allocate(ActivationBytes(config, act_dtype, limits), "activations"));
  size_t bytes = 0;
  decoder->act_ =
      Lay(config, act_dtype, limits, static_cast<char*>(decoder->buffer_.data()), bytes);
  return decoder;
}

// Lays the activations out from `base` on; `bytes` becomes what they take.
Decoder::Activations Decoder::Lay(const ModelConfig& config, DType act_dtype,
                                  const DecoderLimits& limits, char* base, size_t& bytes) {
  bytes = 0;
  const auto matrix = [&](DType dtype, int64_t rows, int64_t cols) {
    const DeviceMatrix made{
        .data = base + bytes, .dtype = dtype, .rows = rows, .cols = cols, .row_stride = cols};
    bytes += (static_cast<size_t>(rows * cols) * DTypeBytes(dtype) + 255) / 256 * 256;
    return made;
  };
  const int64_t rows = limits.max_batch_tokens;
  const int64_t out_rows = limits.max_logits_rows;
  const int64_t hidden = config.hidden_size;
  const int64_t ffn = config.intermediate_size;
  Activations act;
  act.residual = matrix(DType::kFloat32, rows, hidden);
  act.normed = matrix(act_dtype, rows, hidden);
  act.qkv = matrix(act_dtype, rows, config.attention_shape(0).qkv_width());
  act.attended = matrix(act_dtype, rows, config.attention_shape(0).out_width());
  act.delta = matrix(DType::kFloat32, rows, hidden);
  act.gate_up = matrix(act_dtype, rows, 2 * ffn);
  act.gated = matrix(act_dtype, rows, ffn);
  act.last = matrix(act_dtype, out_rows, hidden);
  act.logits = matrix(DType::kFloat32, out_rows, config.vocab_size);
  return act;
}

size_t Decoder::ActivationBytes(const ModelConfig& config, DType act_dtype,
                                const DecoderLimits& limits) {
  size_t bytes = 0;
  Lay(config, act_dtype, limits, nullptr, bytes);
  return bytes;
}

void Decoder::Forward(const ModelBatch& batch) {
  const int64_t rows = batch.num_rows;
  QUIRE_CHECK_LE(rows, limits_.max_batch_tokens);
  const DeviceMatrix residual = act_.residual.Rows(0, rows);
  const DeviceMatrix normed = act_.normed.Rows(0, rows);
  const DeviceMatrix delta = act_.delta.Rows(0, rows);
  CopyPages(batch);
  rope_->ComputeStepRows(batch.rope_spans);
  ops_.Embed(*weights_.embedding, batch.token_ids, {}, residual);
  ops_.Normalise(residual, weights_.layers[0].input_norm, normed);
  const auto add_delta = [&](const Norm& norm) {
    ops_.AddNormalise({.residual = residual, .delta = delta, .norm = norm, .out = normed});
  };
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    AttentionBlock(layer, batch);
    add_delta(weights_.layers[layer].post_attention_norm);
    MlpBlock(layer, rows);
    const bool last = layer + 1 == config_.num_layers;
    add_delta(last ? weights_.final_norm : weights_.layers[layer + 1].input_norm);
  }
}

void Decoder::CopyPages(const ModelBatch& batch) {
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    const KvPlace place = kv_groups_.places[layer];
    if (batch.copies[place.group].empty()) continue;
    attention_.CopyPages(kv_.View(place.group, place.layer), batch.copies[place.group]);
  }
}

// delta = W_o attention(norm-rope(W_qkv normed))
void Decoder::AttentionBlock(int layer, const ModelBatch& batch) {
  const LayerWeights& weights = weights_.layers[layer];
  const KvPlace place = kv_groups_.places[layer];
  const PagedKvView kv = kv_.View(place.group, place.layer);
  const GqaShape shape = config_.attention_shape(layer);
  const DeviceMatrix qkv = act_.qkv.Rows(0, batch.num_rows);
  const DeviceMatrix attended = act_.attended.Rows(0, batch.num_rows);

  ops_.Apply(*weights.qkv, act_.normed.Rows(0, batch.num_rows), qkv);
  attention_.NormRopeWrite({.qkv = qkv,
                            .shape = shape,
                            .qk_norm = config_.qk_norm,
                            .q_norm = weights.q_norm.data(),
                            .k_norm = weights.k_norm.data(),
                            .norm_eps = config_.norm_eps,
                            .rope = rope_->view(0),
                            .kv = kv},
                           batch.groups[place.group]);
  attention_.Gqa({.qkv = qkv,
                  .out = attended,
                  .shape = shape,
                  .scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim)),
                  .kv = kv},
                 batch.groups[place.group]);
  ops_.Apply(*weights.output, attended, act_.delta.Rows(0, batch.num_rows));
}

// delta = W_down (silu(W_gate normed) * W_up normed)
void Decoder::MlpBlock(int layer, int64_t rows) {
  const LayerWeights& weights = weights_.layers[layer];
  const DeviceMatrix gate_up = act_.gate_up.Rows(0, rows);
  const DeviceMatrix gated = act_.gated.Rows(0, rows);
  ops_.Apply(*weights.gate_up, act_.normed.Rows(0, rows), gate_up);
  ops_.GatedActivation({.kind = Activation::kSilu}, gate_up, gated);
  ops_.Apply(*weights.down, gated, act_.delta.Rows(0, rows));
}

DeviceMatrix Decoder::Logits(DeviceArray<const int32_t> rows) {
  QUIRE_CHECK_LE(rows.size, limits_.max_logits_rows);
  const DeviceMatrix last = act_.last.Rows(0, rows.size);
  const DeviceMatrix logits = act_.logits.Rows(0, rows.size);
  ops_.GatherRows(act_.normed, rows, last);
  ops_.Apply(*weights_.lm_head, last, logits);
  return logits;
}

}  // namespace quire
