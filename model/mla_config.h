// Multi-head latent attention as a model's config describes it.
//
// Letters as in attention/mla.h; Rq query rank.
#ifndef QUIRE_MODEL_MLA_CONFIG_H_
#define QUIRE_MODEL_MLA_CONFIG_H_

#include <cstdint>

#include "attention/mla.h"

namespace quire {

struct MlaConfig {
  MlaShape shape;
  int query_rank = 0;       // Rq; 0: queries come straight from the input
  bool latent_norm = true;  // c = norm(c_kv); never where shape.rope_per_head
  float norm_eps = 1e-6F;
  float scale = 1.0F;  // of the scores: commonly 1 / sqrt(D), times YaRN's factor

  // Queries' part of the rows that `down` makes.
  int64_t down_query_width() const { return query_rank > 0 ? query_rank : shape.q_width(); }
};

}  // namespace quire

#endif  // QUIRE_MODEL_MLA_CONFIG_H_
