// Embeddings of encoders and decoders against what transformers computes
// (tests/golden/models, made by tools/make_embed_golden.py), and what load must not change in them.
// A program instantiates it for its backend.
#ifndef QUIRE_TESTS_ENGINE_EMBEDDINGS_H_
#define QUIRE_TESTS_ENGINE_EMBEDDINGS_H_

#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/source_path.h"

namespace quire::testing {

using Vector = std::vector<float>;

struct EmbeddingOptions {
  BackendOptions backend = {};
  DType dtype = DType::kFloat32;
  int64_t max_batch_tokens = 128;
  size_t kv_cache_bytes = size_t{1} << 20;
};

inline std::string Directory(const std::string& model) {
  return SourcePath("tests/golden/models/") + model;
}

inline std::unique_ptr<LoadedModel> LoadEmbedder(const std::string& model,
                                                 const EmbeddingOptions& wanted = {}) {
  LoadOptions options{.model = Directory(model), .dtype = wanted.dtype};
  options.kv_cache_bytes = wanted.kv_cache_bytes;
  options.backend = wanted.backend;
  options.max_batch_tokens = wanted.max_batch_tokens;
  options.max_num_sequences = 8;
  options.block_tokens = 16;
  auto loaded = LoadedModel::Load(options, nullptr);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

inline nlohmann::json Texts(const std::string& model) {
  return nlohmann::json::parse(std::ifstream(Directory(model) + "/golden.json")).at("texts");
}

inline Request Embed(const std::vector<TokenId>& ids, Pooling pooling) {
  Request request;
  request.prompt = ids;
  request.pooling = pooling;
  request.stopping.max_new_tokens = 0;
  return request;
}

inline Vector EmbeddingOf(const testing::Outcome& outcome) {
  EXPECT_EQ(outcome.sequences[0].finish->reason, FinishReason::kMaxTokens)
      << outcome.sequences[0].finish->status;
  return outcome.sequences[0].finish->embedding;
}

inline Vector Embedded(LoadedModel& model, const std::vector<TokenId>& ids, Pooling pooling) {
  return EmbeddingOf(testing::Run(model.engine(), Embed(ids, pooling)));
}

inline constexpr std::pair<const char*, Pooling> kPoolings[] = {
    {"mean", Pooling::kMean}, {"cls", Pooling::kCls}, {"last", Pooling::kLast}};

inline double Cosine(const Vector& a, const Vector& b) {
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

struct EmbeddingCase {
  std::string model;
  size_t max_texts = 100;  // the others are left out
  int copies = 5;          // of each text, that are computed together
  BackendOptions backend = {};
  bool (*is_there)() = [] { return true; };  // whether the machine has what it runs on
};

inline void PrintTo(const EmbeddingCase& embedding, std::ostream* out) { *out << embedding.model; }

class EmbeddingGolden : public ::testing::TestWithParam<EmbeddingCase> {
 protected:
  void SetUp() override {
    if (!GetParam().is_there()) GTEST_SKIP() << "there is no device for it";
  }

  std::unique_ptr<LoadedModel> Load(DType dtype, int64_t max_batch_tokens = 128) {
    EmbeddingOptions wanted{.dtype = dtype, .max_batch_tokens = max_batch_tokens};
    wanted.backend = GetParam().backend;
    return LoadEmbedder(GetParam().model, wanted);
  }
  nlohmann::json OwnTexts() {
    nlohmann::json texts = Texts(GetParam().model);
    while (texts.size() > GetParam().max_texts) texts.erase(texts.size() - 1);
    return texts;
  }
};

TEST_P(EmbeddingGolden, MeetsTransformersInFloat32) {
  const auto model = Load(DType::kFloat32);
  EXPECT_TRUE(model->unused_tensors().empty());
  for (const auto& text : OwnTexts()) {
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
  const auto model = Load(DType::kBFloat16);
  for (const auto& text : OwnTexts()) {
    for (const auto& [name, pooling] : kPoolings) {
      const Vector got = Embedded(*model, text.at("ids").get<std::vector<TokenId>>(), pooling);
      EXPECT_GT(Cosine(got, text.at(name).get<Vector>()), 0.99) << name;
    }
  }
}

TEST_P(EmbeddingGolden, NeitherNeighboursNorStepSizeChangeABit) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const auto texts = OwnTexts();
    const auto alone = Load(dtype);
    // A decoder's texts are cut into chunks here.
    const auto packed = Load(dtype, alone->config().is_encoder ? 100 : 24);
    for (const auto& [name, pooling] : kPoolings) {
      // First: the emulation runs one engine at a time.
      std::vector<Vector> want;
      for (const auto& text : texts) {
        want.push_back(Embedded(*alone, text.at("ids").get<std::vector<TokenId>>(), pooling));
      }
      std::vector<std::unique_ptr<Call>> calls;
      for (int copy = 0; copy < GetParam().copies; ++copy) {
        for (const auto& text : texts) {
          calls.push_back(std::make_unique<Call>(
              packed->engine(), Embed(text.at("ids").get<std::vector<TokenId>>(), pooling)));
        }
      }
      for (size_t i = 0; i < calls.size(); ++i) {
        EXPECT_EQ(EmbeddingOf(calls[i]->AwaitEnd()), want[i % texts.size()]) << name << i;
      }
    }
  }
}

inline std::string EmbeddingCaseName(const ::testing::TestParamInfo<EmbeddingCase>& info) {
  return info.param.model;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_EMBEDDINGS_H_
