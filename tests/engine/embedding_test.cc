// Embeddings of encoders and decoders against what transformers computes
// (tests/golden/models, made by tools/make_embed_golden.py), and what load must not change in them.
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/load_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_client.h"

namespace quire {
namespace {

using Vector = std::vector<float>;

struct Options {
  DType dtype = DType::kFloat32;
  int64_t max_batch_tokens = 128;
  size_t kv_cache_bytes = size_t{1} << 20;
};

std::string Directory(const std::string& model) {
  return QUIRE_SOURCE_DIR "/tests/golden/models/" + model;
}

std::unique_ptr<LoadedModel> Load(const std::string& model, const Options& wanted = {}) {
  LoadOptions options{.model = Directory(model), .dtype = wanted.dtype};
  options.kv_cache_bytes = wanted.kv_cache_bytes;
  options.max_batch_tokens = wanted.max_batch_tokens;
  options.max_num_sequences = 8;
  options.block_tokens = 16;
  auto loaded = LoadedModel::Load(options, nullptr);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

nlohmann::json Texts(const std::string& model) {
  return nlohmann::json::parse(std::ifstream(Directory(model) + "/golden.json")).at("texts");
}

Request Embed(const std::vector<TokenId>& ids, Pooling pooling) {
  Request request;
  request.prompt = ids;
  request.pooling = pooling;
  request.stopping.max_new_tokens = 0;
  return request;
}

Vector EmbeddingOf(const testing::Outcome& outcome) {
  EXPECT_EQ(outcome.sequences[0].finish->reason, FinishReason::kMaxTokens)
      << outcome.sequences[0].finish->status;
  return outcome.sequences[0].finish->embedding;
}

Vector Embedded(LoadedModel& model, const std::vector<TokenId>& ids, Pooling pooling) {
  return EmbeddingOf(testing::Run(model.engine(), Embed(ids, pooling)));
}

const std::pair<const char*, Pooling> kPoolings[] = {
    {"mean", Pooling::kMean}, {"cls", Pooling::kCls}, {"last", Pooling::kLast}};

double Cosine(const Vector& a, const Vector& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

class EmbeddingGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(EmbeddingGolden, MeetsTransformersInFloat32) {
  const auto model = Load(GetParam());
  EXPECT_TRUE(model->unused_tensors().empty());
  for (const auto& text : Texts(GetParam())) {
    const auto ids = text.at("ids").get<std::vector<TokenId>>();
    for (const auto& [name, pooling] : kPoolings) {
      SCOPED_TRACE(absl::StrCat(name, " of ", ids.size(), " tokens"));
      const auto want = text.at(name).get<Vector>();
      const Vector got = Embedded(*model, ids, pooling);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4) << i;
    }
  }
}

TEST_P(EmbeddingGolden, PointsTheSameWayInBfloat16) {
  const auto model = Load(GetParam(), {.dtype = DType::kBFloat16});
  for (const auto& text : Texts(GetParam())) {
    for (const auto& [name, pooling] : kPoolings) {
      const Vector got = Embedded(*model, text.at("ids").get<std::vector<TokenId>>(), pooling);
      EXPECT_GT(Cosine(got, text.at(name).get<Vector>()), 0.99) << name;
    }
  }
}

TEST_P(EmbeddingGolden, NeitherNeighboursNorStepSizeChangeABit) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const auto texts = Texts(GetParam());
    const auto alone = Load(GetParam(), {.dtype = dtype});
    // A decoder's texts are cut into chunks here.
    const bool is_encoder = alone->config().is_encoder;
    const auto packed = Load(GetParam(), {dtype, is_encoder ? 100 : 24});
    for (const auto& [name, pooling] : kPoolings) {
      std::vector<std::unique_ptr<testing::Call>> calls;
      for (int copy = 0; copy < 5; ++copy) {
        for (const auto& text : texts) {
          calls.push_back(std::make_unique<testing::Call>(
              packed->engine(), Embed(text.at("ids").get<std::vector<TokenId>>(), pooling)));
        }
      }
      for (size_t i = 0; i < calls.size(); ++i) {
        const auto ids = texts[i % texts.size()].at("ids").get<std::vector<TokenId>>();
        EXPECT_EQ(EmbeddingOf(calls[i]->AwaitEnd()), Embedded(*alone, ids, pooling)) << name << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EmbeddingGolden,
                         ::testing::Values("bert", "xlm_roberta", "modernbert", "qwen3_embedding"));

TEST(Embedding, AnEncoderHasNoCacheAndKnowsHowItPools) {
  const auto bert = Load("bert");
  EXPECT_TRUE(bert->engine().config().kv.groups.empty());
  EXPECT_EQ(bert->kv_bytes_per_token(), 0U);
  EXPECT_EQ(bert->config().default_pooling(), Pooling::kCls);
  EXPECT_EQ(Load("xlm_roberta")->config().default_pooling(), Pooling::kMean);
  EXPECT_EQ(Load("qwen3_embedding")->config().default_pooling(), Pooling::kLast);
}

TEST(Embedding, ATextMustFitIntoOneStepOfAnEncoderAndIntoTheContext) {
  const std::vector<TokenId> ids(60, 5);
  const auto small = Load("bert", {DType::kFloat32, 59});
  const absl::Status refused = small->engine().CheckFits(Embed(ids, Pooling::kMean));
  EXPECT_EQ(refused.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("59 (--max-batch-tokens)"));
  const auto whole = Load("bert", {DType::kFloat32, 256});
  const auto fits = [&](size_t tokens) {
    return whole->engine().CheckFits(Embed(std::vector<TokenId>(tokens, 5), Pooling::kMean));
  };
  EXPECT_TRUE(fits(128).ok());
  EXPECT_EQ(fits(129).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Embedded(*whole, std::vector<TokenId>(128, 5), Pooling::kMean).size(), 32U);
}

// The last token of a cached text is computed again; the mean needs every row.
TEST(Embedding, ReadsThePrefixCacheForTheLastTokenAlone) {
  const auto model = Load("qwen3_embedding");
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
  const auto model = Load("qwen3_embedding", {DType::kFloat32, 8});
  const auto ids = Texts("qwen3_embedding").back().at("ids").get<std::vector<TokenId>>();
  Request late = Embed(ids, Pooling::kMean);
  late.deadline = absl::UnixEpoch();
  const auto outcome = testing::Run(model->engine(), late);
  EXPECT_EQ(outcome.sequences[0].finish->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(outcome.sequences[0].finish->embedding.empty());
  std::vector<std::unique_ptr<testing::Call>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(std::make_unique<testing::Call>(model->engine(), Embed(ids, Pooling::kMean)));
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
}  // namespace quire
