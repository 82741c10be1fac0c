// The configs of the benchmarks (bench/configs) are what the models' authors publish.
#include <string>

#include "gtest/gtest.h"
#include "model/model_config.h"
#include "model/weights.h"

namespace quire {
namespace {

ModelConfig Read(const std::string& name) {
  const auto config = ReadModelConfig(QUIRE_SOURCE_DIR "/bench/configs/" + name);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

void ExpectSizes(const ModelConfig& config, int layers, int64_t hidden, int64_t ffn,
                 int64_t vocabulary, double billions) {
  EXPECT_EQ(config.num_layers, layers);
  EXPECT_EQ(config.hidden_size, hidden);
  EXPECT_EQ(config.intermediate_size, ffn);
  EXPECT_EQ(config.vocab_size, vocabulary);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.checkpoint_dtype, DType::kBFloat16);
  EXPECT_EQ(config.activation.kind, Activation::kSilu);
  EXPECT_EQ(config.norm, NormKind::kRms);
  EXPECT_NEAR(static_cast<double>(CountParameters(config)) * 1e-9, billions, 0.01 * billions / 8);
}

void ExpectHeads(const ModelConfig& config, int heads, int kv_heads) {
  EXPECT_EQ(config.num_heads, heads);
  EXPECT_EQ(config.num_kv_heads, kv_heads);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.value_dim, 128);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_FALSE(config.attention_output_bias);
  EXPECT_FALSE(config.mla.has_value());
  for (const LayerConfig& layer : config.layers) EXPECT_EQ(layer.window, 0);
}

void ExpectExperts(const ModelConfig& config, int experts, int top_k, int64_t ffn, int64_t shared,
                   int dense_layers) {
  ASSERT_TRUE(config.moe.has_value());
  EXPECT_EQ(config.moe->routing.num_experts, experts);
  EXPECT_EQ(config.moe->routing.top_k, top_k);
  EXPECT_EQ(config.moe->routing.scoring, Scoring::kSoftmax);
  EXPECT_EQ(config.moe->intermediate_size, ffn);
  EXPECT_EQ(config.moe->shared_intermediate_size, shared);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    EXPECT_EQ(config.layers[layer].moe, layer >= dense_layers) << layer;
  }
}

TEST(BenchConfigs, Llama31Of8B) {
  const ModelConfig config = Read("llama-3.1-8b");
  ExpectSizes(config, 32, 4096, 14336, 128256, 8.03);
  ExpectHeads(config, 32, 8);
  EXPECT_EQ(config.qk_norm, QkNorm::kNone);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-5F);
  EXPECT_EQ(config.max_position_embeddings, 131072);
  EXPECT_EQ(config.ropes[0].theta, 500000.0);
  EXPECT_EQ(config.ropes[0].scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config.ropes[0].factor, 8.0);
  EXPECT_EQ(config.ropes[0].original_max_positions, 8192);
  EXPECT_FALSE(config.moe.has_value());
}

TEST(BenchConfigs, Qwen3Of8B) {
  const ModelConfig config = Read("qwen3-8b");
  ExpectSizes(config, 36, 4096, 12288, 151936, 8.19);
  ExpectHeads(config, 32, 8);
  EXPECT_EQ(config.qk_norm, QkNorm::kPerHead);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-6F);
  EXPECT_EQ(config.max_position_embeddings, 40960);
  EXPECT_EQ(config.ropes[0].theta, 1e6);
  EXPECT_EQ(config.ropes[0].scaling, RopeScaling::kNone);
}

TEST(BenchConfigs, Qwen3Of30BWith3BActive) {
  const ModelConfig config = Read("qwen3-30b-a3b");
  ExpectSizes(config, 48, 2048, 6144, 151936, 30.5);
  ExpectHeads(config, 32, 4);
  ExpectExperts(config, 128, 8, 768, 0, 0);
  EXPECT_TRUE(config.moe->routing.normalise);
  EXPECT_EQ(config.qk_norm, QkNorm::kPerHead);
  EXPECT_EQ(config.max_position_embeddings, 40960);
  EXPECT_EQ(config.ropes[0].theta, 1e6);
}

TEST(BenchConfigs, DeepSeekV2Lite) {
  const ModelConfig config = Read("deepseek-v2-lite");
  ExpectSizes(config, 27, 2048, 10944, 102400, 15.7);
  ExpectExperts(config, 64, 6, 1408, 2816, 1);
  EXPECT_FALSE(config.moe->routing.normalise);
  EXPECT_EQ(config.moe->routing.scale, 1.0F);
  ASSERT_TRUE(config.mla.has_value());
  EXPECT_EQ(config.mla->query_rank, 0);
  EXPECT_EQ(config.mla->shape.num_heads, 16);
  EXPECT_EQ(config.mla->shape.latent_dim, 512);
  EXPECT_EQ(config.mla->shape.nope_dim, 128);
  EXPECT_EQ(config.mla->shape.rope_dim, 64);
  EXPECT_EQ(config.mla->shape.value_dim, 128);
  EXPECT_EQ(config.max_position_embeddings, 163840);
  EXPECT_EQ(config.ropes[0].theta, 10000.0);
  EXPECT_EQ(config.ropes[0].scaling, RopeScaling::kYarn);
  EXPECT_EQ(config.ropes[0].factor, 40.0);
  EXPECT_EQ(config.ropes[0].mscale, 0.707);
  EXPECT_EQ(config.ropes[0].original_max_positions, 4096);
}

}  // namespace
}  // namespace quire
