#include "model/mla_weights.h"

#include <vector>

#include "core/status_macros.h"

namespace quire {
namespace {

// Of the two norms of latents, whatever rms_norm_eps says (transformers' DeepseekV2Attention).
constexpr float kLatentNormEps = 1e-6F;

}  // namespace

MlaBlockConfig DescribeMla(const ModelConfig& config) {
  const MlaConfig& mla = *config.mla;
  return {.shape = {.num_heads = config.num_heads,
                    .latent_dim = mla.kv_rank,
                    .nope_dim = mla.nope_dim,
                    .rope_dim = mla.rope_dim,
                    .value_dim = config.value_dim,
                    .rope_per_head = !mla.shared_rope_key},
          .query_rank = mla.query_rank,
          .latent_norm = mla.shared_rope_key,
          .norm_eps = kLatentNormEps,
          .scale = config.attention_scale};
}

absl::StatusOr<MlaWeights> LoadMla(const std::string& at, WeightLoader& loader) {
  const ModelConfig& config = loader.config();
  const WeightNames& names = config.names;
  const MlaBlockConfig block = DescribeMla(config);
  const int64_t hidden = config.hidden_size;
  const int rank = block.shape.latent_dim;
  const bool low_rank = block.query_rank > 0;
  const bool bias = config.qkv_bias;
  const int64_t kv_width = rank + (block.shape.rope_per_head ? 0 : block.shape.rope_dim);
  MlaWeights weights;
  QUIRE_ASSIGN_OR_RETURN(weights.down, loader.Merge(at + "down", hidden,
                                                    {{at + (low_rank ? names.q_a : names.q),
                                                      block.down_query_width(), low_rank && bias},
                                                     {at + names.kv_a, kv_width, bias}}));
  if (low_rank) {
    QUIRE_ASSIGN_OR_RETURN(
        weights.query_norm,
        loader.LoadRmsNorm(at + names.q_a_norm, block.query_rank, block.norm_eps));
    QUIRE_ASSIGN_OR_RETURN(
        weights.query_up,
        loader.Merge(at + names.q_b, block.query_rank, {{at + names.q_b, block.shape.q_width()}}));
  }
  if (block.latent_norm) {
    QUIRE_ASSIGN_OR_RETURN(weights.latent_norm,
                           loader.LoadVector(at + names.kv_a_norm + ".weight", rank));
  }
  const StoredMatrix up{.weight = at + names.kv_b + ".weight",
                        .out_features = block.shape.expanded_width(),
                        .in_features = rank};
  QUIRE_ASSIGN_OR_RETURN(const WeightRows rows, loader.Stored(up));
  QUIRE_ASSIGN_OR_RETURN(weights.up, MakeMlaUpWeights(block.shape, rows, at + names.kv_b,
                                                      loader.act_dtype(), loader.ops()));
  loader.Finish({up.weight}, up.out_features * up.in_features);
  QUIRE_ASSIGN_OR_RETURN(weights.output,
                         loader.Merge(at + names.output, block.shape.out_width(),
                                      {{at + names.output, hidden, config.attention_output_bias}}));
  return weights;
}

int64_t CountMlaParameters(const ModelConfig& config) {
  const MlaBlockConfig block = DescribeMla(config);
  const int64_t rank = block.shape.latent_dim;
  const int64_t rope_key = block.shape.rope_per_head ? 0 : block.shape.rope_dim;
  const int64_t down = config.hidden_size * (block.down_query_width() + rank + rope_key);
  const int64_t query_up = block.query_rank * block.shape.q_width();
  return down + query_up + rank * block.shape.expanded_width() +
         block.shape.out_width() * config.hidden_size;
}

int64_t CountMlaDuplicates(const ModelConfig& config) {
  const MlaBlockConfig block = DescribeMla(config);
  return block.shape.latent_dim * block.shape.expanded_width();
}

}  // namespace quire
