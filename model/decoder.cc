#include "model/decoder.h"

#include <utility>

#include "core/allocation_bytes.h"
#include "core/check.h"
#include "core/elements.h"
#include "core/status_macros.h"

namespace quire {

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(
    const ModelConfig& config, ModelWeights weights, const KvGroups& kv_groups, const KvStorage& kv,
    DType act_dtype, const DecoderLimits& limits, Ops& ops, Attention& attention, Mla* mla,
    DeviceMemory& memory) {
  std::unique_ptr<Decoder> decoder(
      new Decoder(config, std::move(weights), kv_groups, kv, limits, ops, attention));
  QUIRE_ASSIGN_OR_RETURN(decoder->rope_,
                         RopeTables::Create(config.model_ropes(), limits.rope_rows, memory));
  if (config.mla) {
    QUIRE_ASSIGN_OR_RETURN(
        decoder->mla_,
        MlaBlock::Create(*config.mla, act_dtype, limits.max_batch_tokens, ops, *mla, memory));
  }
  size_t bytes = Activations::Bytes(config, act_dtype, limits);
  QUIRE_ASSIGN_OR_RETURN(decoder->buffer_, memory.Allocate(bytes, "activations"));
  decoder->act_ = Activations::Lay(config, act_dtype, limits, decoder->buffer_.data(), bytes);
  decoder->embedding_scale_ = config.embedding_scale_in_act_type
                                  ? RoundTo(act_dtype, config.embedding_scale)
                                  : config.embedding_scale;
  decoder->PrepareProducts();
  if (config.sink_tokens > 0) QUIRE_RETURN_IF_ERROR(decoder->WriteSinkTokens(memory));
  return decoder;
}

Decoder::Bytes Decoder::CountBytes(const ModelConfig& config,
                                   const std::vector<KvGroupStorage>& pools, DType act_dtype,
                                   const DecoderLimits& limits) {
  Bytes bytes;
  bytes.activations = AllocationBytes(Activations::Bytes(config, act_dtype, limits));
  if (config.mla) {
    bytes.activations +=
        AllocationBytes(MlaBlock::ActivationBytes(*config.mla, act_dtype, limits.max_batch_tokens));
  }
  if (config.sink_tokens > 0) bytes.activations += SinkTokenBytes(pools);
  bytes.rope_tables = RopeTables::Bytes(config.model_ropes(), limits.rope_rows);
  return bytes;
}

void Decoder::Prepare(const ModelBatch& batch) {
  CopyPages(batch);
  rope_->ComputeStepRows(batch.rope_spans);
}

void Decoder::Compute(const ModelBatch& batch) {
  const int64_t rows = batch.num_rows;
  QUIRE_CHECK_LE(rows, limits_.max_batch_tokens);
  attention_.BeginBatch();
  if (mla_ != nullptr) mla_->BeginBatch();
  EmbedTokens(batch);
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    const LayerWeights& weights = weights_.layers[layer];
    AttentionBlock(layer, batch);
    if (config_.placement == NormPlacement::kParallel) {
      ops_.AddTo(act_.delta.Rows(0, rows), config_.residual_scale, act_.residual.Rows(0, rows));
    } else {
      Join(weights.attention_out_norm, NormsBehind() ? weights.attention_norm : weights.mlp_norm,
           rows);
    }
    if (weights.moe) {
      Moe(*weights.moe, rows, batch.num_generated_rows);
    } else {
      Mlp(weights.mlp, rows, batch.num_generated_rows, act_.delta.Rows(0, rows));
    }
    Join(weights.mlp_out_norm, NormAfterLayer(layer), rows);
  }
}

// All products of prompt rows.
void Decoder::PrepareProducts() {
  const auto prepare_mlp = [&](const MlpWeights& weights, const DeviceMatrix& out) {
    ops_.Prepare(*weights.up, act_.up.dtype);
    ops_.Prepare(*weights.down, out.dtype);
  };
  for (const LayerWeights& layer : weights_.layers) {
    if (layer.mla) {
      mla_->Prepare(*layer.mla, act_.delta.dtype);
    } else {
      ops_.Prepare(*layer.gqa.qkv, act_.qkv.dtype);
      ops_.Prepare(*layer.gqa.output, act_.delta.dtype);
    }
    if (!layer.moe) {
      prepare_mlp(layer.mlp, act_.delta);
      continue;
    }
    ops_.Prepare(*layer.moe->router, act_.router_logits.dtype);
    if (layer.moe->shared.up != nullptr) prepare_mlp(layer.moe->shared, act_.shared);
    if (layer.moe->shared_gate != nullptr) {
      ops_.Prepare(*layer.moe->shared_gate, act_.shared_gate.dtype);
    }
  }
}

void Decoder::CopyPages(const ModelBatch& batch) {
  if (batch.copies.empty()) return;  // encoders have no cache
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    const KvPlace place = kv_groups_.places[layer];
    if (batch.copies[place.group].empty()) continue;
    attention_.CopyPages(kv_.View(place.group, place.layer), batch.copies[place.group]);
  }
}

// residual and normed, as the first block reads them.
void Decoder::EmbedTokens(const ModelBatch& batch) {
  const int64_t rows = batch.num_rows;
  const DeviceMatrix residual = act_.residual.Rows(0, rows);
  ops_.Embed(*weights_.embedding, batch.token_ids, {.scale = embedding_scale_}, residual);
  if (weights_.positions != nullptr) {
    ops_.Embed(*weights_.positions, batch.position_rows, {.accumulate = true}, residual);
  }
  if (weights_.token_types != nullptr) {
    ops_.Embed(*weights_.token_types, {act_.zero_ids, rows}, {.accumulate = true}, residual);
  }
  if (config_.embedding_norm) ops_.Normalise(residual, weights_.embedding_norm, residual);
  ops_.Normalise(residual, NormBefore(weights_.layers[0].attention_norm),
                 act_.normed.Rows(0, rows));
}

const Norm& Decoder::NormBefore(const Norm& norm) const { return NormsBehind() ? no_norm_ : norm; }

const Norm& Decoder::NormAfterLayer(int layer) const {
  if (NormsBehind()) return weights_.layers[layer].mlp_norm;
  const bool last = layer + 1 == config_.num_layers;
  return last ? weights_.final_norm : weights_.layers[layer + 1].attention_norm;
}

void Decoder::Join(const Norm& out_norm, const Norm& next, int64_t rows) {
  const DeviceMatrix delta = act_.delta.Rows(0, rows);
  if (out_norm.kind != NormKind::kNone) ops_.Normalise(delta, out_norm, delta);
  ops_.AddNormalise({.residual = act_.residual.Rows(0, rows),
                     .delta = delta,
                     .delta_scale = config_.residual_scale,
                     .norm = next,
                     .out = act_.normed.Rows(0, rows),
                     .into_residual = NormsBehind()});
}

// delta = W_o attention(normed)
void Decoder::AttentionBlock(int layer, const ModelBatch& batch) {
  const LayerWeights& weights = weights_.layers[layer];
  const DeviceMatrix delta = act_.delta.Rows(0, batch.num_rows);
  if (!weights.mla) {
    Attend(layer, batch);
    ops_.Apply(*weights.gqa.output, act_.attended.Rows(0, batch.num_rows), delta,
               batch.num_generated_rows);
    return;
  }
  const KvPlace place = kv_groups_.places[layer];
  mla_->Forward(*weights.mla,
                {.rows = batch.groups[place.group],
                 .num_generated_rows = batch.num_generated_rows,
                 .rope = rope_->view(config_.layers[layer].rope),
                 .kv = kv_.View(place.group, place.layer)},
                act_.normed.Rows(0, batch.num_rows), delta);
}

NormRopeWriteParams Decoder::Rotation(int layer, int64_t rows) const {
  const GqaWeights& weights = weights_.layers[layer].gqa;
  NormRopeWriteParams rotation{.qkv = act_.qkv.Rows(0, rows),
                               .shape = config_.attention_shape(layer),
                               .qk_norm = config_.qk_norm,
                               .q_norm = weights.q_norm.data(),
                               .k_norm = weights.k_norm.data(),
                               .weights_per_head = config_.qk_norm_per_head,
                               .norm_eps = config_.norm_eps,
                               .rope = rope_->view(config_.layers[layer].rope)};
  if (config_.is_encoder) return rotation;  // which keeps nothing
  const KvPlace place = kv_groups_.places[layer];
  rotation.kv = kv_.View(place.group, place.layer);
  return rotation;
}

// attended = attention(norm-rope(W_qkv normed))
void Decoder::Attend(int layer, const ModelBatch& batch) {
  const GqaWeights& weights = weights_.layers[layer].gqa;
  const DeviceMatrix attended = act_.attended.Rows(0, batch.num_rows);
  const ScoreRules scores{.softcap = config_.attention_softcap,
                          .sink_logits = weights.sink_logits.data()};
  NormRopeWriteParams rotation = Rotation(layer, batch.num_rows);
  ops_.Apply(*weights.qkv, act_.normed.Rows(0, batch.num_rows), rotation.qkv,
             batch.num_generated_rows);
  if (config_.is_encoder) {
    attention_.NormRope(rotation, batch.rope_rows);
    attention_.Encode({.qkv = rotation.qkv,
                       .out = attended,
                       .shape = rotation.shape,
                       .scale = config_.attention_scale,
                       .scores = scores},
                      batch.query_start);
    return;
  }
  const AttentionBatch& rows = batch.groups[kv_groups_.places[layer].group];
  const KvPrefix sinks = Sinks(layer, batch.num_rows);
  rotation.q2 = sinks.q2;
  attention_.NormRopeWrite(rotation, rows);
  attention_.Gqa({.qkv = rotation.qkv,
                  .out = attended,
                  .shape = rotation.shape,
                  .scale = config_.attention_scale,
                  .kv = rotation.kv,
                  .scores = scores,
                  .prefix = sinks,
                  .num_generated = batch.num_generated_rows},
                 rows);
}

// delta = W_down (act(W_gate normed) * W_up normed), or W_down act(W_up normed)
void Decoder::Mlp(const MlpWeights& weights, int64_t rows, int64_t num_generated,
                  const DeviceMatrix& delta) {
  const DeviceMatrix up = act_.up.Rows(0, rows).Columns(0, weights.up->out_features());
  const DeviceMatrix gated = act_.gated.Rows(0, rows).Columns(0, weights.down->in_features());
  ops_.Apply(*weights.up, act_.normed.Rows(0, rows), up, num_generated);
  if (config_.gated_mlp) {
    ops_.GatedActivation(config_.activation, up, gated);
  } else {
    ops_.Activate(config_.activation, up, gated);
  }
  ops_.Apply(*weights.down, gated, delta, num_generated);
}

// delta = the weighted sum of the chosen experts, and the shared one
void Decoder::Moe(const MoeWeights& weights, int64_t rows, int64_t num_generated) {
  const DeviceMatrix normed = act_.normed.Rows(0, rows);
  const DeviceMatrix delta = act_.delta.Rows(0, rows);
  const DeviceMatrix logits = act_.router_logits.Rows(0, rows);
  const DeviceMatrix chosen = act_.chosen.Rows(0, rows);
  const DeviceArray<int32_t> ids{act_.expert_ids, rows * config_.moe->routing.top_k};
  ops_.Apply(*weights.router, normed, logits, num_generated);
  ops_.Route(weights.routing, logits, ids, chosen);
  ops_.ApplyExperts(*weights.experts, normed, {ids.data, ids.size}, chosen, delta);
  if (weights.shared.up == nullptr) return;
  const DeviceMatrix shared = act_.shared.Rows(0, rows);
  Mlp(weights.shared, rows, num_generated, shared);
  if (weights.shared_gate == nullptr) {
    ops_.AddTo(shared, 1.0F, delta);
    return;
  }
  const DeviceMatrix gate = act_.shared_gate.Rows(0, rows);
  ops_.Apply(*weights.shared_gate, normed, gate, num_generated);
  ops_.AddSigmoidGated(shared, gate, delta);
}

void Decoder::SumHidden(int64_t first, int64_t count, absl::Span<float> sum) {
  ops_.SumRows(act_.normed.Rows(first, count), sum);
}

DeviceMatrix Decoder::Logits(DeviceArray<const int32_t> rows) {
  QUIRE_CHECK_LE(rows.size, limits_.max_logits_rows);
  const DeviceMatrix last = act_.last.Rows(0, rows.size);
  const DeviceMatrix logits = act_.logits.Rows(0, rows.size);
  ops_.GatherRows(act_.normed, rows, last);
  ops_.Apply(*weights_.lm_head, last, logits, rows.size);
  if (config_.logits_scale != 1.0F || config_.logits_softcap != 0.0F) {
    ops_.SoftcapLogits(logits, config_.logits_scale, config_.logits_softcap);
  }
  return logits;
}

}  // namespace quire
