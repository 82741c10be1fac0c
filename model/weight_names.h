// How a family names the tensors of its checkpoints. Names are without ".weight" and ".bias"; an
// empty name is a tensor that the family does not have.
#ifndef QUIRE_MODEL_WEIGHT_NAMES_H_
#define QUIRE_MODEL_WEIGHT_NAMES_H_

#include <string>
#include <vector>

namespace quire {

// The experts of a layer, as a checkpoint stores them.
enum class ExpertStorage {
  kSeparate,        // <experts>.<i>.<gate>, .<up>, .<down>: a matrix each
  kStacked,         // <gate_up> [X, 2F, E], <down> [X, E, F]: Granite
  kStackedInFirst,  // <gate_up> [X, E, 2F], gate and up in turn, <down> [X, F, E]: gpt-oss
};

struct WeightNames {
  // Of the whole: the first of these under which the checkpoint has `embedding`.
  std::vector<std::string> prefixes = {"model.", "language_model.model.", "model.language_model.",
                                       ""};
  std::string embedding = "embed_tokens";
  std::string positions;       // learned ones
  std::string token_types;     //
  std::string embedding_norm;  //
  std::string final_norm = "norm";
  std::string lm_head = "lm_head";  // under the prefix without its last "model."

  // Of a layer, under <prefix><layers>.<i>. from here on.
  std::string layers = "layers";
  std::string attention_norm = "input_layernorm";     // before attention, or behind it (kBehind)
  std::string attention_out_norm;                     // after it
  std::string mlp_norm = "post_attention_layernorm";  // likewise
  std::string mlp_out_norm;
  std::string qkv;  // one matrix with the rows of q, k and v; else q, k, v
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string q_norm = "self_attn.q_norm";
  std::string k_norm = "self_attn.k_norm";
  std::string output = "self_attn.o_proj";
  std::string sink_logits = "self_attn.sinks";  // a tensor without ".weight"
  std::string sink_tokens = "self_attn.sink_tokens";

  std::string gate_up;  // one matrix with the rows of gate and up; else gate, up
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";  // of an MLP that is not gated: its only input projection
  std::string down = "mlp.down_proj";

  // MLA.
  std::string q_a = "self_attn.q_a_proj";
  std::string q_a_norm = "self_attn.q_a_layernorm";
  std::string q_b = "self_attn.q_b_proj";
  std::string kv_a = "self_attn.kv_a_proj_with_mqa";
  std::string kv_a_norm = "self_attn.kv_a_layernorm";
  std::string kv_b = "self_attn.kv_b_proj";

  // MoE.
  std::string router = "mlp.gate";
  std::string correction_bias = "mlp.gate.e_score_correction_bias";  // without ".weight"
  ExpertStorage storage = ExpertStorage::kSeparate;
  std::string experts = "mlp.experts";
  std::string expert_gate = "gate_proj";
  std::string expert_up = "up_proj";
  std::string expert_down = "down_proj";
  std::string experts_gate_up;  // stacked; without ".weight" where kStackedInFirst
  std::string experts_down;
  std::string shared_expert = "mlp.shared_experts";  // .gate_proj, .up_proj, .down_proj
  std::string shared_gate = "mlp.shared_expert_gate";

  // Matrices of a layer are stored [in, out] (GPT-2's Conv1D).
  bool transposed = false;
  // Tensors that a checkpoint may hold and the model has no use for: what begins so after the
  // prefix of the whole, or ends so.
  std::vector<std::string> ignored_beginnings = {"vision_tower.", "model.vision_tower.",
                                                 "multi_modal_projector.",
                                                 "model.multi_modal_projector."};
  std::vector<std::string> ignored_endings = {"rotary_emb.inv_freq"};
};

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHT_NAMES_H_
