#include "model/model_config.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/file.h"
#include "core/json.h"
#include "core/status_macros.h"
#include "model/families.h"

namespace quire {
namespace {

std::vector<Family> AllFamilies() {
  std::vector<Family> all;
  for (const auto& table : {DenseFamilies(), GemmaFamilies(), MoeFamilies(), EncoderFamilies()}) {
    all.insert(all.end(), table.begin(), table.end());
  }
  return all;
}

absl::StatusOr<Family> FindFamily(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode architectures, root.Member("architectures"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> names, architectures.Elements());
  if (names.size() != 1) return architectures.Unexpected("a list of one name");
  QUIRE_ASSIGN_OR_RETURN(config.architecture, names[0].String());
  std::vector<std::string> known;
  for (const Family& family : AllFamilies()) {
    if (config.architecture == family.architecture) return family;
    known.emplace_back(family.architecture);
  }
  return names[0].Error(
      absl::StrCat("architecture ", Quoted(config.architecture),
                   " is not one of those that run: ", absl::StrJoin(known, ", ")));
}

// gpt-oss's experts are expanded as they are read; nothing else that is quantised runs.
absl::Status CheckQuantisation(const JsonNode& root, const ModelConfig& config) {
  const std::optional<JsonNode> quantised = root.Find("quantization_config");
  if (!quantised) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const std::string method, quantised->StringOr("quant_method", "?"));
  const bool expands = config.names.storage == ExpertStorage::kStackedInFirst;
  if (expands && method == "mxfp4") return absl::OkStatus();
  return quantised->Error(absl::StrCat("quantised weights (", method,
                                       ") do not run; use the bf16, f16 or f32 checkpoint"));
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

// transformers 5 writes dtype, 4 torch_dtype.
absl::Status ReadDType(const JsonNode& root, ModelConfig& config) {
  for (const char* key : {"torch_dtype", "dtype"}) {
    const std::optional<JsonNode> member = root.Find(key);
    if (!member) continue;
    QUIRE_ASSIGN_OR_RETURN(const std::string name, member->String());
    const absl::StatusOr<DType> dtype = ParseDType(name);
    if (!dtype.ok()) return member->Unexpected("float32, bfloat16 or float16");
    config.checkpoint_dtype = *dtype;
  }
  return absl::OkStatus();
}

// Learned sink tokens, which any decoder with keys and values of heads may have.
absl::Status ReadSinkTokens(const JsonNode& root, ModelConfig& config) {
  constexpr int64_t kMost = 1024;
  const int64_t most = std::min(kMost, config.max_position_embeddings - 1);
  QUIRE_ASSIGN_OR_RETURN(const int64_t tokens, root.IntegerOr("num_sink_tokens", 0, most, 0));
  if (tokens > 0 && (config.mla || config.is_encoder || config.learned_positions)) {
    return root.Find("num_sink_tokens")->Unexpected("0: the architecture takes no sink tokens");
  }
  config.sink_tokens = static_cast<int>(tokens);
  return absl::OkStatus();
}

// What `file` says of the end of a text, if it is there and says anything.
absl::Status ReadEndTokens(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<TokenId> ids,
                         ReadTokenIds(root, "eos_token_id", config.vocab_size));
  if (!ids.empty()) config.eos_token_ids = std::move(ids);
  return absl::OkStatus();
}

// How a sentence-transformers checkpoint pools.
absl::Status ReadPooling(const std::string& path, ModelConfig& config) {
  if (!FileExists(path)) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const auto document, JsonDocument::FromFile(path));
  const std::pair<const char*, Pooling> modes[] = {
      {"pooling_mode_mean_tokens", Pooling::kMean},
      {"pooling_mode_cls_token", Pooling::kCls},
      {"pooling_mode_lasttoken", Pooling::kLast},
  };
  for (const auto& [key, pooling] : modes) {
    QUIRE_ASSIGN_OR_RETURN(const bool set, document->root().BoolOr(key, false));
    if (set) config.pooling = pooling;
  }
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
  QUIRE_ASSIGN_OR_RETURN(const Family family, FindFamily(root, config));
  // The text part of a multimodal checkpoint; the type of its weights may stand outside.
  const JsonNode text = root.Find("text_config").value_or(root);
  QUIRE_ASSIGN_OR_RETURN(config.model_type, root.StringOr("model_type", ""));
  QUIRE_RETURN_IF_ERROR(family.read(text, config));
  QUIRE_RETURN_IF_ERROR(ReadSinkTokens(text, config));
  QUIRE_RETURN_IF_ERROR(CheckQuantisation(root, config));
  for (const JsonNode& part : {root, text}) {
    QUIRE_RETURN_IF_ERROR(ReadDType(part, config));
    QUIRE_RETURN_IF_ERROR(ReadEndTokens(part, config));
  }
  const std::string generation_path = directory + "/generation_config.json";
  if (FileExists(generation_path)) {
    QUIRE_ASSIGN_OR_RETURN(const auto generation, JsonDocument::FromFile(generation_path));
    QUIRE_RETURN_IF_ERROR(ReadEndTokens(generation->root(), config));
  }
  QUIRE_RETURN_IF_ERROR(ReadPooling(directory + "/1_Pooling/config.json", config));
  return config;
}

}  // namespace quire
