#include "model/kv_groups.h"

#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

// 27 layers of 512 latent dims and 64 rotated ones, two bytes each.
TEST(KvGroups, LatentPagesKeepOneRowATokenForAllHeads) {
  testing::TempDir directory;
  directory.Write("config.json", R"({
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "hidden_size": 2048,
    "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 10944,
    "vocab_size": 102400, "max_position_embeddings": 163840, "kv_lora_rank": 512,
    "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408, "first_k_dense_replace": 1})");
  const auto config = ReadModelConfig(directory.path());
  ASSERT_TRUE(config.ok()) << config.status();
  const KvGroups groups = GroupKvLayers(*config, 64, DType::kBFloat16);
  ASSERT_EQ(groups.groups.size(), 1U);
  EXPECT_EQ(groups.groups[0].layout.token_bytes() * groups.groups[0].layers.size(), 31104U);
}

}  // namespace
}  // namespace quire
