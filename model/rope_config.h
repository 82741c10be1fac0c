// Rotary embeddings as config.json describes them.
#ifndef QUIRE_MODEL_ROPE_CONFIG_H_
#define QUIRE_MODEL_ROPE_CONFIG_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/json.h"
#include "model/rope.h"

namespace quire {

// What a family's rotation is where config.json is silent, and how the family names its keys.
struct RopeDefaults {
  int head_dim = 0;           // D; a file's qk_rope_head_dim (DeepSeek) takes its place
  int64_t max_positions = 0;  // max_position_embeddings
  double theta = 10000.0;
  double rotated_part = 1.0;  // of D
  bool interleaved = false;
  // The base where it stands outside of rope_parameters: rotary_emb_base for GPT-NeoX, for the
  // sliding layers of Gemma 3 rope_local_base_freq, for ModernBERT global_rope_theta and
  // local_rope_theta.
  const char* theta_key = "rope_theta";
  const char* part_key = "partial_rotary_factor";  // GPT-NeoX: rotary_pct
  // Whether a scaling that is not told apart by layer kind, or is asked for in place of the file's,
  // holds for these layers. It does not for the sliding layers of Gemma 3 and OLMo 3.
  bool takes_common_scaling = true;
};

// The rotation of the layers of one kind ("full_attention", "sliding_attention"), as transformers 4
// (rope_theta, rope_scaling) and 5 (rope_parameters, for all layers or an object for each kind)
// write it. null for a kind means that its layers do not rotate: rotary_dim 0. The rotated width is
// partial_rotary_factor or rotary_dim of the file. Where both generations stand in a file,
// rope_scaling goes first, as in transformers.
//
// rope_type: default, linear, dynamic, ntk, llama3, yarn, longrope (or su), proportional. All but
// ntk are those of transformers; {"rope_type": "ntk", "factor": s} is the static NTK-aware scaling
// with theta s^(d / (d - 2)).
absl::StatusOr<RopeConfig> ReadRope(const JsonNode& root, const RopeDefaults& defaults,
                                    absl::string_view layer_kind = "full_attention");

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_CONFIG_H_
