#include "model/mla_weights.h"

#include <vector>

#include "core/status_macros.h"

namespace quire {

absl::StatusOr<MlaWeights> LoadMla(const std::string& at, WeightLoader& loader) {
  const ModelConfig& config = loader.config();
  const WeightNames& names = config.names;
  const MlaConfig& mla = *config.mla;
  const int64_t hidden = config.hidden_size;
  const int rank = mla.shape.latent_dim;
  const bool low_rank = mla.query_rank > 0;
  const bool bias = config.qkv_bias;
  const int64_t kv_width = rank + (mla.shape.rope_per_head ? 0 : mla.shape.rope_dim);
  MlaWeights weights;
  QUIRE_ASSIGN_OR_RETURN(weights.down, loader.Merge(at + "down", hidden,
                                                    {{at + (low_rank ? names.q_a : names.q),
                                                      mla.down_query_width(), low_rank && bias},
                                                     {at + names.kv_a, kv_width, bias}}));
  if (low_rank) {
    QUIRE_ASSIGN_OR_RETURN(weights.query_norm,
                           loader.LoadRmsNorm(at + names.q_a_norm, mla.query_rank, mla.norm_eps));
    QUIRE_ASSIGN_OR_RETURN(weights.query_up, loader.Merge(at + names.q_b, mla.query_rank,
                                                          {{at + names.q_b, mla.shape.q_width()}}));
  }
  if (mla.latent_norm) {
    QUIRE_ASSIGN_OR_RETURN(weights.latent_norm,
                           loader.LoadVector(at + names.kv_a_norm + ".weight", rank));
  }
  const StoredMatrix up{.weight = at + names.kv_b + ".weight",
                        .out_features = mla.shape.up_width(),
                        .in_features = rank};
  QUIRE_ASSIGN_OR_RETURN(const WeightRows rows, loader.Stored(up));
  QUIRE_ASSIGN_OR_RETURN(weights.up, MakeMlaUpWeights(mla.shape, rows, at + names.kv_b,
                                                      loader.act_dtype(), loader.maker()));
  loader.Finish({up.weight}, up.out_features * up.in_features);
  QUIRE_ASSIGN_OR_RETURN(weights.output,
                         loader.Merge(at + names.output, mla.shape.out_width(),
                                      {{at + names.output, hidden, config.attention_output_bias}}));
  return weights;
}

int64_t CountMlaParameters(const ModelConfig& config) {
  const MlaConfig& mla = *config.mla;
  const int64_t rank = mla.shape.latent_dim;
  const int64_t rope_key = mla.shape.rope_per_head ? 0 : mla.shape.rope_dim;
  const int64_t down = config.hidden_size * (mla.down_query_width() + rank + rope_key);
  const int64_t query_up = mla.query_rank * mla.shape.q_width();
  return down + query_up + rank * mla.shape.up_width() + mla.shape.out_width() * config.hidden_size;
}

}  // namespace quire
