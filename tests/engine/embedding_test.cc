// Embeddings on the CPU, and what they ask of the engine.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/embeddings.h"

namespace quire::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Models, EmbeddingGolden,
                         ::testing::Values(EmbeddingCase{"bert"}, EmbeddingCase{"xlm_roberta"},
                                           EmbeddingCase{"modernbert"},
                                           EmbeddingCase{"qwen3_embedding"}),
                         EmbeddingCaseName);

TEST(Embedding, AnEncoderHasNoCacheAndKnowsHowItPools) {
  const auto bert = LoadEmbedder("bert");
  EXPECT_TRUE(bert->engine().config().kv.groups.empty());
  EXPECT_EQ(bert->kv_bytes_per_token(), 0U);
  EXPECT_EQ(bert->config().default_pooling(), Pooling::kCls);
  EXPECT_EQ(LoadEmbedder("xlm_roberta")->config().default_pooling(), Pooling::kMean);
  EXPECT_EQ(LoadEmbedder("qwen3_embedding")->config().default_pooling(), Pooling::kLast);
}

TEST(Embedding, ATextMustFitIntoOneStepOfAnEncoderAndIntoTheContext) {
  const std::vector<TokenId> ids(60, 5);
  const auto small = LoadEmbedder("bert", {.max_batch_tokens = 59});
  const absl::Status refused = small->engine().CheckFits(Embed(ids, Pooling::kMean));
  EXPECT_EQ(refused.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("59 (--max-batch-tokens)"));
  const auto whole = LoadEmbedder("bert", {.max_batch_tokens = 256});
  const auto fits = [&](size_t tokens) {
    return whole->engine().CheckFits(Embed(std::vector<TokenId>(tokens, 5), Pooling::kMean));
  };
  EXPECT_TRUE(fits(128).ok());
  EXPECT_EQ(fits(129).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Embedded(*whole, std::vector<TokenId>(128, 5), Pooling::kMean).size(), 32U);
}

// The last token of a cached text is computed again; the mean needs every row.
TEST(Embedding, ReadsThePrefixCacheForTheLastTokenAlone) {
  const auto model = LoadEmbedder("qwen3_embedding");
  const auto ids = Texts("qwen3_embedding").back().at("ids").get<std::vector<TokenId>>();
  std::vector<Vector> first;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < 3; ++i) {
      const auto outcome = testing::Run(model->engine(), Embed(ids, kPoolings[i].second));
      const int64_t cached = outcome.sequences[0].finish->usage.cached_tokens;
      EXPECT_EQ(cached, kPoolings[i].second == Pooling::kLast ? 80 : 0);
      if (round == 0) {
        first.push_back(EmbeddingOf(outcome));
      } else {
        EXPECT_EQ(EmbeddingOf(outcome), first[i]);
      }
    }
  }
}

TEST(Embedding, CancelAndDeadlineEndItAndFreeItsPages) {
  const auto model = LoadEmbedder("qwen3_embedding", {.max_batch_tokens = 8});
  const auto ids = Texts("qwen3_embedding").back().at("ids").get<std::vector<TokenId>>();
  Request late = Embed(ids, Pooling::kMean);
  late.deadline = absl::UnixEpoch();
  const auto outcome = testing::Run(model->engine(), late);
  EXPECT_EQ(outcome.sequences[0].finish->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(outcome.sequences[0].finish->embedding.empty());
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(std::make_unique<Call>(model->engine(), Embed(ids, Pooling::kMean)));
    calls.back()->Cancel();
  }
  for (auto& call : calls) {
    const Finish& finish = *call->AwaitEnd().sequences[0].finish;
    EXPECT_EQ(finish.embedding.empty(), finish.reason == FinishReason::kCancelled);
  }
  EXPECT_TRUE(model->engine().AwaitIdle(absl::InfiniteFuture()));
  for (const KvGroupStats& group : model->engine().stats().kv) EXPECT_EQ(group.referenced, 0);
}

}  // namespace
}  // namespace quire::testing
