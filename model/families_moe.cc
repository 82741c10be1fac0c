// Decoders with experts, and those with latent attention (which have both).
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "model/config_reader.h"
#include "model/families.h"

namespace quire {
namespace {

// The keys under which a family says how many experts there are and how wide.
struct MoeKeys {
  SizeKey num_experts;
  SizeKey top_k = {"num_experts_per_tok"};
  SizeKey intermediate_size = {"moe_intermediate_size"};
};

absl::Status ReadExperts(const JsonNode& root, const MoeKeys& keys, ModelConfig& config) {
  MoeConfig& moe = config.moe.emplace();
  // transformers 5 may write any family's count under the common name.
  SizeKey num_experts = keys.num_experts;
  if (!root.Has(num_experts.key) && root.Has("num_local_experts")) {
    num_experts.key = "num_local_experts";
  }
  QUIRE_RETURN_IF_ERROR(ReadSize(root, num_experts, 1, kMaxExperts, moe.routing.num_experts));
  QUIRE_RETURN_IF_ERROR(ReadSize(root, keys.top_k, 1,
                                 std::min<int64_t>(moe.routing.num_experts, kMaxTopK),
                                 moe.routing.top_k));
  QUIRE_RETURN_IF_ERROR(
      ReadSize(root, keys.intermediate_size, 1, kMaxIntermediateSize, moe.intermediate_size));
  for (LayerConfig& layer : config.layers) layer.moe = true;
  return absl::OkStatus();
}

absl::Status ReadMixtral(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 8, .absent_eps = 1e-5}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {.theta = 1e6}, config));
  QUIRE_RETURN_IF_ERROR(ReadExperts(root,
                                    {.num_experts = {"num_local_experts", 8},
                                     .top_k = {"num_experts_per_tok", 2},
                                     .intermediate_size = {"intermediate_size"}},
                                    config));
  config.moe->routing.normalise = true;
  WeightNames& names = config.names;
  names.router = "block_sparse_moe.gate";
  names.experts = "block_sparse_moe.experts";
  names.expert_gate = "w1";
  names.expert_up = "w3";
  names.expert_down = "w2";
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 0));
  return ReadLayerWindows(
      root, window, [](int) { return true; }, config);
}

absl::Status ReadGraniteMoe(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  QUIRE_RETURN_IF_ERROR(ReadMultipliers(root, config));
  QUIRE_RETURN_IF_ERROR(ReadExperts(root,
                                    {.num_experts = {"num_local_experts", 8},
                                     .top_k = {"num_experts_per_tok", 2},
                                     .intermediate_size = {"intermediate_size"}},
                                    config));
  config.moe->routing.scoring = Scoring::kSoftmaxOfChosen;
  WeightNames& names = config.names;
  names.router = "block_sparse_moe.router.layer";
  names.storage = ExpertStorage::kStacked;
  names.experts_gate_up = "block_sparse_moe.input_linear";
  names.experts_down = "block_sparse_moe.output_linear";
  return absl::OkStatus();
}

// Layers without experts: mlp_only_layers, and all but each decoder_sparse_step-th.
absl::Status ReadSparseLayers(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t step,
                         root.IntegerOr("decoder_sparse_step", 1, kMaxConfigInt, 1));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    config.layers[layer].moe = (layer + 1) % step == 0;
  }
  const std::optional<JsonNode> dense = root.Find("mlp_only_layers");
  if (!dense) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> listed, dense->Elements());
  for (const JsonNode& element : listed) {
    QUIRE_ASSIGN_OR_RETURN(const int64_t layer, element.Integer(0, kMaxConfigInt));
    if (layer < config.num_layers) config.layers[layer].moe = false;
  }
  return absl::OkStatus();
}

absl::Status ReadQwen2Moe(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 16}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  config.qkv_bias = true;
  QUIRE_RETURN_IF_ERROR(ReadExperts(root,
                                    {.num_experts = {"num_experts", 60},
                                     .top_k = {"num_experts_per_tok", 4},
                                     .intermediate_size = {"moe_intermediate_size", 1408}},
                                    config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "norm_topk_prob", false, config.moe->routing.normalise));
  QUIRE_RETURN_IF_ERROR(ReadSize(root, {"shared_expert_intermediate_size", 5632}, 1,
                                 kMaxIntermediateSize, config.moe->shared_intermediate_size));
  config.moe->shared_gate = true;
  config.names.shared_expert = "mlp.shared_expert";
  QUIRE_RETURN_IF_ERROR(ReadSparseLayers(root, config));
  return ReadQwenWindows(root, config);
}

absl::Status ReadQwen3Moe(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 4}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  config.qk_norm = QkNorm::kPerHead;
  QUIRE_RETURN_IF_ERROR(ReadExperts(root,
                                    {.num_experts = {"num_experts", 128},
                                     .top_k = {"num_experts_per_tok", 8},
                                     .intermediate_size = {"moe_intermediate_size", 768}},
                                    config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "norm_topk_prob", false, config.moe->routing.normalise));
  QUIRE_RETURN_IF_ERROR(ReadSparseLayers(root, config));
  return ReadQwenWindows(root, config);
}

// What DeepSeek-V2, V3 and GLM-4-MoE share: groups of experts, shared experts, and first layers
// without any.
absl::Status ReadGroupedExperts(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadExperts(root, {.num_experts = {"n_routed_experts"}}, config));
  MoeConfig& moe = *config.moe;
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "routed_scaling_factor", 1.0, moe.routing.scale));
  QUIRE_ASSIGN_OR_RETURN(const int64_t shared, root.IntegerOr("n_shared_experts", 0, 1024, 0));
  moe.shared_intermediate_size = shared * moe.intermediate_size;
  QUIRE_RETURN_IF_ERROR(ReadSize(root, {"n_group", 1}, 1,
                                 std::min(moe.routing.num_experts, kMaxTopK),
                                 moe.routing.num_groups));
  QUIRE_RETURN_IF_ERROR(
      ReadSize(root, {"topk_group", 1}, 1, moe.routing.num_groups, moe.routing.top_groups));
  const int in_group = moe.routing.num_experts / moe.routing.num_groups;
  if (moe.routing.num_experts % moe.routing.num_groups != 0 ||
      in_group * moe.routing.top_groups < moe.routing.top_k) {
    return root.Error(absl::StrCat("n_group ", moe.routing.num_groups, " and topk_group ",
                                   moe.routing.top_groups, " don't fit n_routed_experts ",
                                   moe.routing.num_experts, " and num_experts_per_tok ",
                                   moe.routing.top_k));
  }
  QUIRE_ASSIGN_OR_RETURN(const int64_t dense,
                         root.IntegerOr("first_k_dense_replace", 0, kMaxConfigInt, 0));
  QUIRE_ASSIGN_OR_RETURN(const int64_t step, root.IntegerOr("moe_layer_freq", 1, 1024, 1));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    config.layers[layer].moe = layer >= dense && layer % step == 0;
  }
  // Layers behind the last predict several tokens at once.
  const std::string behind = absl::StrCat("layers.", config.num_layers, ".");
  config.names.ignored_beginnings.push_back(behind);
  return absl::OkStatus();
}

// The sigmoid router of DeepSeek-V3 and GLM-4-MoE.
absl::Status ReadSigmoidRouter(const JsonNode& root, ModelConfig& config) {
  MoeConfig& moe = *config.moe;
  moe.routing.scoring = Scoring::kSigmoid;
  moe.correction_bias = true;
  moe.routing.group_score = GroupScore::kTopTwoSum;
  if (moe.routing.num_groups > 1 && moe.routing.num_experts / moe.routing.num_groups < 2) {
    return root.Error(absl::StrCat("n_group is ", moe.routing.num_groups, " of ",
                                   moe.routing.num_experts,
                                   " experts, expected two in each at least"));
  }
  return ReadFlag(root, "norm_topk_prob", true, moe.routing.normalise);
}

absl::Status ReadGlm4Moe(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 8, .absent_eps = 1e-5}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {.rotated_part = 0.5}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  bool qk_norm = false;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "use_qk_norm", false, qk_norm));
  if (qk_norm) config.qk_norm = QkNorm::kPerHead;
  QUIRE_RETURN_IF_ERROR(ReadGroupedExperts(root, config));
  return ReadSigmoidRouter(root, config);
}

absl::Status ReadDeepseekV2(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadMla(root, {.interleaved = true}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "mlp_bias", false, config.mlp_bias));
  QUIRE_RETURN_IF_ERROR(ReadGroupedExperts(root, config));
  MoeConfig& moe = *config.moe;
  QUIRE_ASSIGN_OR_RETURN(const std::string method, root.StringOr("topk_method", "greedy"));
  if (method == "greedy") {
    moe.routing.num_groups = 1;
    moe.routing.top_groups = 1;
  } else if (method != "group_limited_greedy") {
    return root.Error(absl::StrCat("topk_method is ", Quoted(method),
                                   ", expected greedy or group_limited_greedy"));
  }
  // norm_topk_prob has no effect in transformers, and no published V2 sets it.
  return absl::OkStatus();
}

absl::Status ReadDeepseekV3(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {}, config));
  bool interleaved = true;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "rope_interleave", true, interleaved));
  QUIRE_RETURN_IF_ERROR(ReadMla(root, {.interleaved = interleaved}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  QUIRE_RETURN_IF_ERROR(ReadGroupedExperts(root, config));
  return ReadSigmoidRouter(root, config);
}

absl::Status ReadGptOss(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(
      ReadCommon(root, {.absent_kv_heads = 8, .absent_head_dim = 64, .absent_eps = 1e-5}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {.theta = 150000.0}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", true, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  config.sink_logits = true;
  QUIRE_RETURN_IF_ERROR(ReadExperts(root,
                                    {.num_experts = {"num_local_experts", 128},
                                     .top_k = {"num_experts_per_tok", 4},
                                     .intermediate_size = {"intermediate_size"}},
                                    config));
  config.activation.kind = Activation::kClampedSwiglu;
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "swiglu_limit", 7.0, config.activation.limit));
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "swiglu_alpha", 1.702, config.activation.alpha));
  config.moe->routing.scoring = Scoring::kSoftmaxOfChosen;
  config.moe->router_bias = true;
  config.moe->expert_bias = true;
  WeightNames& names = config.names;
  names.router = "mlp.router";
  names.storage = ExpertStorage::kStackedInFirst;
  names.experts_gate_up = "mlp.experts.gate_up_proj";
  names.experts_down = "mlp.experts.down_proj";
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 128));
  return ReadLayerWindows(
      root, window, [](int layer) { return layer % 2 == 0; }, config);
}

constexpr Family kFamilies[] = {
    {"MixtralForCausalLM", ReadMixtral},       {"Qwen2MoeForCausalLM", ReadQwen2Moe},
    {"Qwen3MoeForCausalLM", ReadQwen3Moe},     {"GraniteMoeForCausalLM", ReadGraniteMoe},
    {"Glm4MoeForCausalLM", ReadGlm4Moe},       {"DeepseekV2ForCausalLM", ReadDeepseekV2},
    {"DeepseekV3ForCausalLM", ReadDeepseekV3}, {"GptOssForCausalLM", ReadGptOss},
};

}  // namespace

absl::Span<const Family> MoeFamilies() { return kFamilies; }

}  // namespace quire
