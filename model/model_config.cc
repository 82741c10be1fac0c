#include "model/model_config.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/file.h"
#include "core/json.h"
#include "core/status_macros.h"
#include "model/rope_config.h"

namespace quire {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

// Beyond what any model has, and small enough that no product of them overflows.
constexpr int64_t kMaxLayers = 1000;
constexpr int64_t kMaxHeads = 1 << 14;
constexpr int64_t kMaxHeadDim = 256;
constexpr int64_t kMaxHiddenSize = 1 << 20;
constexpr int64_t kMaxIntermediateSize = 1 << 22;
constexpr int64_t kMaxVocabSize = 1 << 22;
constexpr int64_t kMaxPositions = 1 << 26;

// What an architecture adds to the fields that all share, and what transformers takes for a field
// that config.json lacks (0: num_attention_heads, and hidden_size / num_attention_heads; null
// stands for these in every family).
struct Family {
  const char* architecture;
  absl::Status (*read)(const JsonNode& root, ModelConfig& config);
  int absent_kv_heads = 0;
  int absent_head_dim = 0;
};

// The window of each layer: `layer_types` where the file has them, else all layers alike from
// `first_windowed` on.
absl::Status ReadLayerWindows(const JsonNode& root, int window, int64_t first_windowed,
                              ModelConfig& config) {
  config.layer_windows.assign(config.num_layers, 0);
  const std::optional<JsonNode> types = root.Find("layer_types");
  if (!types) {
    for (int64_t layer = first_windowed; layer < config.num_layers; ++layer) {
      config.layer_windows[layer] = window;
    }
    return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> layers, types->Elements());
  if (static_cast<int>(layers.size()) != config.num_layers) {
    return types->Error(absl::StrCat("has ", layers.size(), " entries, expected one for each of ",
                                     config.num_layers, " layers"));
  }
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    QUIRE_ASSIGN_OR_RETURN(const std::string type, layers[layer].String());
    if (type == "sliding_attention") {
      if (window == 0) return layers[layer].Error("is sliding_attention, but no window is given");
      config.layer_windows[layer] = window;
    } else if (type != "full_attention") {
      return layers[layer].Unexpected("full_attention or sliding_attention");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadLlama(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(config.qkv_bias, root.BoolOr("attention_bias", false));
  config.attention_output_bias = config.qkv_bias;
  QUIRE_ASSIGN_OR_RETURN(config.mlp_bias, root.BoolOr("mlp_bias", false));
  return ReadLayerWindows(root, 0, config.num_layers, config);
}

// The window, where transformers takes 4096 for a config.json without it; null is none.
absl::StatusOr<int64_t> ReadWindow(const JsonNode& root) {
  return root.IntegerOr("sliding_window", 1, kMaxInt, root.Has("sliding_window") ? 0 : 4096);
}

absl::Status ReadMistral(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root));
  return ReadLayerWindows(root, static_cast<int>(window), 0, config);
}

// Qwen2 and Qwen3: layers from max_window_layers on slide, if use_sliding_window.
absl::Status ReadQwenWindows(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const bool slides, root.BoolOr("use_sliding_window", false));
  int64_t window = 0;
  if (slides) {
    QUIRE_ASSIGN_OR_RETURN(window, ReadWindow(root));
  }
  QUIRE_ASSIGN_OR_RETURN(const int64_t first, root.IntegerOr("max_window_layers", 0, kMaxInt, 28));
  return ReadLayerWindows(root, static_cast<int>(window), first, config);
}

absl::Status ReadQwen2(const JsonNode& root, ModelConfig& config) {
  config.qkv_bias = true;
  return ReadQwenWindows(root, config);
}

absl::Status ReadQwen3(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(config.qkv_bias, root.BoolOr("attention_bias", false));
  config.attention_output_bias = config.qkv_bias;
  config.qk_norm = QkNorm::kPerHead;
  return ReadQwenWindows(root, config);
}

constexpr Family kFamilies[] = {
    {"LlamaForCausalLM", ReadLlama},
    {"MistralForCausalLM", ReadMistral, 8},
    {"Qwen2ForCausalLM", ReadQwen2, 32},
    {"Qwen3ForCausalLM", ReadQwen3, 32, 128},
};

absl::StatusOr<const Family*> FindFamily(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode architectures, root.Member("architectures"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> names, architectures.Elements());
  if (names.size() != 1) return architectures.Unexpected("a list of one name");
  QUIRE_ASSIGN_OR_RETURN(config.architecture, names[0].String());
  std::vector<std::string> known;
  for (const Family& family : kFamilies) {
    if (config.architecture == family.architecture) return &family;
    known.emplace_back(family.architecture);
  }
  return names[0].Error(
      absl::StrCat("architecture ", Quoted(config.architecture),
                   " is not one of those that run: ", absl::StrJoin(known, ", ")));
}

absl::Status ReadSizes(const JsonNode& root, const Family& family, ModelConfig& config) {
  const auto read = [&](const char* key, int64_t limit, auto& field) -> absl::Status {
    QUIRE_ASSIGN_OR_RETURN(const JsonNode member, root.Member(key));
    QUIRE_ASSIGN_OR_RETURN(const int64_t value, member.Integer(1, limit));
    field = static_cast<std::decay_t<decltype(field)>>(value);
    return absl::OkStatus();
  };
  QUIRE_RETURN_IF_ERROR(read("hidden_size", kMaxHiddenSize, config.hidden_size));
  QUIRE_RETURN_IF_ERROR(read("num_hidden_layers", kMaxLayers, config.num_layers));
  QUIRE_RETURN_IF_ERROR(read("num_attention_heads", kMaxHeads, config.num_heads));
  QUIRE_RETURN_IF_ERROR(read("intermediate_size", kMaxIntermediateSize, config.intermediate_size));
  QUIRE_RETURN_IF_ERROR(read("vocab_size", kMaxVocabSize, config.vocab_size));
  QUIRE_RETURN_IF_ERROR(
      read("max_position_embeddings", kMaxPositions, config.max_position_embeddings));
  const auto or_absent = [&](const char* key, int absent, int64_t derived) {
    return absent > 0 && !root.Has(key) ? absent : derived;
  };
  QUIRE_ASSIGN_OR_RETURN(
      const int64_t kv_heads,
      root.IntegerOr("num_key_value_heads", 1, kMaxHeads,
                     or_absent("num_key_value_heads", family.absent_kv_heads, config.num_heads)));
  config.num_kv_heads = static_cast<int>(kv_heads);
  if (config.num_heads % config.num_kv_heads != 0) {
    return root.Error(absl::StrCat("num_attention_heads (", config.num_heads,
                                   ") is not a multiple of num_key_value_heads (", kv_heads, ")"));
  }
  QUIRE_ASSIGN_OR_RETURN(const int64_t head_dim,
                         root.IntegerOr("head_dim", 1, kMaxInt,
                                        or_absent("head_dim", family.absent_head_dim,
                                                  config.hidden_size / config.num_heads)));
  config.head_dim = static_cast<int>(head_dim);
  if (head_dim % 2 != 0 || head_dim < 2 || head_dim > kMaxHeadDim) {
    return root.Error(absl::StrCat("head_dim is ", head_dim, ", expected an even number from 2 to ",
                                   kMaxHeadDim));
  }
  return absl::OkStatus();
}

// An id, a list of ids, or absent.
absl::StatusOr<std::vector<TokenId>> ReadTokenIds(const JsonNode& root, const char* key,
                                                  int64_t vocab_size) {
  std::vector<TokenId> ids;
  const std::optional<JsonNode> member = root.Find(key);
  if (!member) return ids;
  std::vector<JsonNode> elements = {*member};
  if (member->value().is_array()) {
    QUIRE_ASSIGN_OR_RETURN(elements, member->Elements());
  }
  for (const JsonNode& element : elements) {
    QUIRE_ASSIGN_OR_RETURN(const int64_t id, element.Integer(0, vocab_size - 1));
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

absl::Status ReadCommon(const JsonNode& root, const Family& family, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(config.model_type, root.StringOr("model_type", ""));
  if (const std::optional<JsonNode> quantized = root.Find("quantization_config")) {
    QUIRE_ASSIGN_OR_RETURN(const std::string method, quantized->StringOr("quant_method", "?"));
    return quantized->Error(absl::StrCat("quantised weights (", method,
                                         ") do not run; use the bf16, f16 or f32 checkpoint"));
  }
  QUIRE_RETURN_IF_ERROR(ReadSizes(root, family, config));
  QUIRE_ASSIGN_OR_RETURN(const std::string activation, root.StringOr("hidden_act", "silu"));
  if (activation != "silu") {
    return root.Error(absl::StrCat("hidden_act is ", Quoted(activation), ", expected \"silu\""));
  }
  QUIRE_ASSIGN_OR_RETURN(const double eps, root.NumberOr("rms_norm_eps", 1e-6));
  if (eps <= 0 || eps > 1) {
    return root.Error(absl::StrCat("rms_norm_eps is ", eps, ", expected above 0, to 1"));
  }
  config.norm_eps = static_cast<float>(eps);
  QUIRE_ASSIGN_OR_RETURN(config.tie_word_embeddings, root.BoolOr("tie_word_embeddings", false));
  QUIRE_ASSIGN_OR_RETURN(config.rope,
                         ReadRope(root, {.head_dim = config.head_dim,
                                         .max_positions = config.max_position_embeddings}));
  // transformers 5 writes dtype, 4 torch_dtype.
  for (const char* key : {"torch_dtype", "dtype"}) {
    const std::optional<JsonNode> member = root.Find(key);
    if (!member) continue;
    QUIRE_ASSIGN_OR_RETURN(const std::string name, member->String());
    const absl::StatusOr<DType> dtype = ParseDType(name);
    if (!dtype.ok()) return member->Unexpected("float32, bfloat16 or float16");
    config.checkpoint_dtype = *dtype;
  }
  QUIRE_ASSIGN_OR_RETURN(config.eos_token_ids,
                         ReadTokenIds(root, "eos_token_id", config.vocab_size));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& directory) {
  if (!FileExists(directory)) {
    return absl::NotFoundError(absl::StrCat(directory,
                                            ": no such directory; --model expects a "
                                            "Hugging Face checkpoint directory"));
  }
  QUIRE_ASSIGN_OR_RETURN(const auto document, JsonDocument::FromFile(directory + "/config.json"));
  ModelConfig config;
  const JsonNode root = document->root();
  QUIRE_ASSIGN_OR_RETURN(const Family* family, FindFamily(root, config));
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, *family, config));
  QUIRE_RETURN_IF_ERROR(family->read(root, config));

  const std::string generation_path = directory + "/generation_config.json";
  if (!FileExists(generation_path)) return config;
  QUIRE_ASSIGN_OR_RETURN(const auto generation, JsonDocument::FromFile(generation_path));
  QUIRE_ASSIGN_OR_RETURN(std::vector<TokenId> eos,
                         ReadTokenIds(generation->root(), "eos_token_id", config.vocab_size));
  if (!eos.empty()) config.eos_token_ids = std::move(eos);
  return config;
}

}  // namespace quire
