#include "model/model_config.h"

#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

Json Qwen3() {
  return Json::parse(R"({
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 512,
    "rope_theta": 1000000, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "eos_token_id": 7})");
}

std::vector<int> Windows(const ModelConfig& config) {
  std::vector<int> windows;
  for (const LayerConfig& layer : config.layers) windows.push_back(layer.window);
  return windows;
}

class ModelConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<ModelConfig> Read(const Json& config) {
    directory_.Write("config.json", config.dump());
    return ReadModelConfig(directory_.path());
  }
  // The message of the refusal.
  std::string Refusal(const Json& config) {
    const auto read = Read(config);
    EXPECT_FALSE(read.ok()) << config;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("config.json"));
    return std::string(read.status().message());
  }
  testing::TempDir directory_;
};

TEST_F(ModelConfigTest, ReadsTheKeysOfTransformers4) {
  const auto config = Read(Qwen3());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_kv_heads, 2);
  EXPECT_EQ(config->head_dim, 16);
  EXPECT_EQ(config->ropes[0].theta, 1e6);
  EXPECT_EQ(config->ropes[0].rotary_dim, 16);
  EXPECT_EQ(config->checkpoint_dtype, DType::kBFloat16);
  EXPECT_EQ(config->qk_norm, QkNorm::kPerHead);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(7));
}

TEST_F(ModelConfigTest, ReadsTheKeysOfTransformers5) {
  Json json = Qwen3();
  json.erase("rope_theta");
  json.erase("torch_dtype");
  json["dtype"] = "float32";
  json["rope_parameters"] = {{"rope_type", "llama3"},   {"rope_theta", 500000.0},
                             {"factor", 8.0},           {"low_freq_factor", 1.0},
                             {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
  const auto config = Read(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ropes[0].theta, 500000.0);
  EXPECT_EQ(config->ropes[0].scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config->ropes[0].original_max_positions, 8192);
  EXPECT_EQ(config->checkpoint_dtype, DType::kFloat32);
}

TEST_F(ModelConfigTest, GenerationConfigHasTheLastWordOnEndTokens) {
  directory_.Write("generation_config.json", R"({"eos_token_id": [3, 5]})");
  EXPECT_THAT(Read(Qwen3())->eos_token_ids, ElementsAre(3, 5));
  directory_.Write("generation_config.json", R"({"temperature": 0.6})");
  EXPECT_THAT(Read(Qwen3())->eos_token_ids, ElementsAre(7));
  directory_.Write("generation_config.json", R"({"eos_token_id": [100]})");
  EXPECT_THAT(std::string(Read(Qwen3()).status().message()),
              HasSubstr("eos_token_id[0]: found 100, expected an integer from 0 to 99"));
}

TEST_F(ModelConfigTest, WindowsComeByLayerOrFromTheFirstWindowedLayerOn) {
  Json json = Qwen3();
  json["use_sliding_window"] = true;
  json["sliding_window"] = 32;
  json["max_window_layers"] = 3;
  EXPECT_THAT(Windows(*Read(json)), ElementsAre(0, 0, 0, 32));
  json["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                         "full_attention"};
  EXPECT_THAT(Windows(*Read(json)), ElementsAre(32, 0, 32, 0));
  json["layer_types"] = {"full_attention"};
  EXPECT_THAT(Refusal(json), HasSubstr("layer_types: has 1 entries, expected one for each of 4"));
  json["layer_types"] = {"full_attention", "full_attention", "full_attention", "linear_attention"};
  EXPECT_THAT(Refusal(json), HasSubstr("layer_types[3]: found \"linear_attention\""));
}

TEST_F(ModelConfigTest, UnknownArchitecturesAreRefusedWithThoseThatRun) {
  Json json = Qwen3();
  json["architectures"] = {"MambaForCausalLM"};
  EXPECT_THAT(Refusal(json),
              ::testing::AllOf(HasSubstr("MambaForCausalLM"), HasSubstr("LlamaForCausalLM"),
                               HasSubstr("MistralForCausalLM"), HasSubstr("Qwen2ForCausalLM"),
                               HasSubstr("Qwen3ForCausalLM")));
}

TEST_F(ModelConfigTest, QuiresOwnFormNamesWhatItCannotTake) {
  Json json = Qwen3();
  json["architectures"] = {"QuireForCausalLM"};
  json["qk_norm"] = "layer";
  EXPECT_THAT(Refusal(json), HasSubstr("qk_norm: found \"layer\", expected none, per_head or"));
  json["qk_norm"] = "per_head";
  json["kv_lora_rank"] = 16;
  EXPECT_THAT(Refusal(json), HasSubstr("qk_norm: found \"per_head\", expected none beside"));
  json.erase("qk_norm");
  EXPECT_THAT(Refusal(json), HasSubstr("qk_nope_head_dim"));
  json["num_sink_tokens"] = 4;
  json.update({{"qk_nope_head_dim", 8}, {"qk_rope_head_dim", 8}, {"v_head_dim", 8}});
  EXPECT_THAT(Refusal(json), HasSubstr("num_sink_tokens: found 4, expected 0"));
}

TEST_F(ModelConfigTest, EveryWrongFieldIsNamedWithWhatWasExpected) {
  const auto with = [](const char* key, const Json& value) {
    Json json = Qwen3();
    json[key] = value;
    return json;
  };
  EXPECT_THAT(Refusal(with("hidden_size", -1)),
              HasSubstr("hidden_size: found -1, expected an integer from 1 to 1048576"));
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
                          "intermediate_size", "max_position_embeddings"}) {
    EXPECT_THAT(Refusal(with(key, 2147483647)),
                HasSubstr(std::string(key) + ": found 2147483647, expected"));
  }
  EXPECT_THAT(Refusal(with("partial_rotary_factor", 1e300)),
              HasSubstr("partial_rotary_factor: found 1e+300, expected a number above 0, to 1"));
  EXPECT_THAT(Refusal(with("rms_norm_eps", 0)), HasSubstr("rms_norm_eps is 0, expected above 0"));
  EXPECT_THAT(Refusal(with("hidden_size", "64")), HasSubstr("hidden_size: found \"64\""));
  EXPECT_THAT(Refusal(with("vocab_size", nullptr)), HasSubstr("\"vocab_size\" is missing"));
  EXPECT_THAT(Refusal(with("num_key_value_heads", 3)),
              HasSubstr("num_attention_heads (8) is not a multiple of num_key_value_heads (3)"));
  EXPECT_THAT(Refusal(with("head_dim", 15)), HasSubstr("head_dim is 15, expected an even number"));
  EXPECT_THAT(Refusal(with("head_dim", 512)), HasSubstr("head_dim is 512"));
  EXPECT_THAT(Refusal(with("hidden_act", "mish")),
              HasSubstr("hidden_act is \"mish\", which is not one of those that run: silu"));
  EXPECT_THAT(Refusal(with("rope_theta", 0)), HasSubstr("rope_theta: found 0, expected a number"));
  EXPECT_THAT(Refusal(with("quantization_config", {{"quant_method", "awq"}})),
              HasSubstr("quantised weights (awq) do not run"));
  EXPECT_THAT(Refusal(with("quantization_config", {{"quant_method", "mxfp4"}})),
              HasSubstr("quantised weights (mxfp4) do not run"));
  EXPECT_THAT(Refusal(with("torch_dtype", "int8")), HasSubstr("torch_dtype: found \"int8\""));
  EXPECT_THAT(Refusal(with("architectures", Json::array())), HasSubstr("architectures"));
}

// The expected values are those of transformers' own configuration classes.
TEST_F(ModelConfigTest, AbsentFieldsAreTheFamilysDefaultsAndNullIsNot) {
  Json json = Qwen3();
  json.erase("num_key_value_heads");
  json.erase("head_dim");
  json["num_attention_heads"] = 32;
  auto config = Read(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_kv_heads, 32);
  EXPECT_EQ(config->head_dim, 128);
  json["head_dim"] = nullptr;
  config = Read(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->head_dim, 2);

  Json mistral = Qwen3();
  mistral["architectures"] = {"MistralForCausalLM"};
  mistral.erase("num_key_value_heads");
  config = Read(mistral);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_kv_heads, 8);
  EXPECT_THAT(Windows(*config), ElementsAre(4096, 4096, 4096, 4096));
  mistral["sliding_window"] = nullptr;
  config = Read(mistral);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(Windows(*config), ElementsAre(0, 0, 0, 0));

  Json qwen2 = Qwen3();
  qwen2["architectures"] = {"Qwen2ForCausalLM"};
  qwen2["use_sliding_window"] = true;
  qwen2["max_window_layers"] = 2;
  config = Read(qwen2);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(Windows(*config), ElementsAre(0, 0, 4096, 4096));
  qwen2["sliding_window"] = nullptr;
  config = Read(qwen2);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(Windows(*config), ElementsAre(0, 0, 0, 0));
}

TEST_F(ModelConfigTest, LinearScalingLetsTheContextStretch) {
  Json json = Qwen3();
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 4}};
  const auto config = Read(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->max_position_embeddings, 512);
  EXPECT_EQ(StretchedPositions(config->model_ropes(), {}), 2048);
}

TEST_F(ModelConfigTest, MissingAndBrokenFilesAreNamed) {
  EXPECT_THAT(std::string(ReadModelConfig("/nonexistent/model").status().message()),
              HasSubstr("/nonexistent/model: no such directory"));
  EXPECT_THAT(std::string(ReadModelConfig(directory_.path()).status().message()),
              HasSubstr("config.json: No such file"));
  directory_.Write("config.json", "{\"architectures\": [");
  EXPECT_THAT(std::string(ReadModelConfig(directory_.path()).status().message()),
              HasSubstr("config.json: not valid JSON"));
  directory_.Write("config.json", "[]");
  EXPECT_THAT(std::string(ReadModelConfig(directory_.path()).status().message()),
              HasSubstr("expected an object with \"architectures\""));
}

}  // namespace
}  // namespace quire
