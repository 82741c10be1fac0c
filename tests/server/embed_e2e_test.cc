// Embed through the real server and a real socket: of an encoder, and of a decoder that generates
// beside it.
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kModel;
using Stub = v1::GenerationService::Stub;

std::string Directory(const std::string& model) {
  return QUIRE_SOURCE_DIR "/tests/golden/models/" + model;
}

nlohmann::json Texts(const std::string& model) {
  return nlohmann::json::parse(std::ifstream(Directory(model) + "/golden.json")).at("texts");
}

void AddIds(const std::vector<uint32_t>& ids, v1::EmbedRequest& request) {
  request.add_inputs()->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
}

v1::EmbedRequest TextRequest(const std::vector<std::string>& texts) {
  v1::EmbedRequest request;
  for (const std::string& text : texts) request.add_inputs()->set_text(text);
  return request;
}

grpc::Status Embed(Stub& stub, const v1::EmbedRequest& request, v1::EmbedResponse& response) {
  grpc::ClientContext context;
  return stub.Embed(&context, request, &response);
}

v1::EmbedResponse Embed(Stub& stub, const v1::EmbedRequest& request) {
  v1::EmbedResponse response;
  const grpc::Status status = Embed(stub, request, response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

void ExpectRefused(Stub& stub, const v1::EmbedRequest& request, grpc::StatusCode code,
                   const ::testing::Matcher<std::string>& message) {
  v1::EmbedResponse response;
  const grpc::Status status = Embed(stub, request, response);
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_THAT(status.error_message(), message);
}

v1::ModelInfo ModelInfo(Stub& stub) {
  grpc::ClientContext context;
  v1::ModelInfo info;
  EXPECT_TRUE(stub.GetModelInfo(&context, {}, &info).ok());
  return info;
}

double Length(const v1::Embedding& embedding) {
  double squares = 0;
  for (float value : embedding.values()) squares += double{value} * value;
  return std::sqrt(squares);
}

class EncoderE2e : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new testing::ServerProcess({"--model", Directory("modernbert"), "--dtype", "float32",
                                          "--max-batch-tokens", "100", "--max-queue", "1"});
    ASSERT_FALSE(server_->address().empty()) << server_->StderrText();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }

  static testing::ServerProcess* server_;
  std::unique_ptr<Stub> stub_ = server_->Connect();
};
testing::ServerProcess* EncoderE2e::server_ = nullptr;

TEST_F(EncoderE2e, MeetsTransformersInEachPooling) {
  const std::pair<const char*, v1::Pooling> poolings[] = {
      {"mean", v1::POOLING_MEAN}, {"cls", v1::POOLING_CLS}, {"last", v1::POOLING_LAST}};
  const nlohmann::json texts = Texts("modernbert");
  for (const auto& [name, pooling] : poolings) {
    v1::EmbedRequest request;
    for (const auto& text : texts) AddIds(text.at("ids").get<std::vector<uint32_t>>(), request);
    request.set_pooling(pooling);
    request.set_normalize(false);
    const v1::EmbedResponse response = Embed(*stub_, request);
    EXPECT_EQ(response.usage().prompt_tokens(), 1U + 7 + 33 + 90);
    ASSERT_EQ(response.embeddings_size(), static_cast<int>(texts.size()));
    for (size_t t = 0; t < texts.size(); ++t) {
      const auto want = texts[t].at(name).get<std::vector<float>>();
      const v1::Embedding& got = response.embeddings(static_cast<int>(t));
      ASSERT_EQ(got.values_size(), static_cast<int>(want.size()));
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(got.values(static_cast<int>(i)), want[i], 1e-4) << name << t;
      }
    }
  }
}

TEST_F(EncoderE2e, ATextGetsTheTokenizersSpecialTokensAndTheModelsPooling) {
  v1::EmbedRequest ids;
  AddIds({1, 3 + 1 + 'a' - 33, 3 + 1 + 'b' - 33, 2}, ids);  // [CLS] a b [SEP]
  ids.set_pooling(v1::POOLING_MEAN);
  const v1::EmbedResponse by_text = Embed(*stub_, TextRequest({"ab"}));
  EXPECT_EQ(by_text.usage().prompt_tokens(), 4U);
  EXPECT_EQ(by_text.embeddings(0).SerializeAsString(),
            Embed(*stub_, ids).embeddings(0).SerializeAsString());
  EXPECT_NEAR(Length(by_text.embeddings(0)), 1, 1e-6);
}

// The texts of BERT (WordPiece) and XLM-R (Unigram), with the ids that the `tokenizers` package
// gives.
TEST(EncoderTextE2e, TextsOfBertAndXlmRobertaAreThoseOfTheirTokenizersIds) {
  const struct {
    const char* model;
    std::string text;
    std::vector<uint32_t> ids;
  } cases[] = {
      // [CLS] the fox jump ##s , n ##a ##i ##v ##e ##l ##y ? [SEP]
      {"bert",
       "The Fox jumps, na\u00EFvely?",
       {2, 5, 6, 7, 8, 75, 39, 14, 30, 55, 22, 36, 61, 77, 3}},
      // <s> _ T h e _ F o x _jump s , _ n a ï v e l y ? </s>
      {"xlm_roberta", "The Fox jumps, na\u00EFvely?", {0,  11, 56, 19, 16, 11, 42, 26, 34, 6,  7,
                                                       74, 11, 25, 12, 3,  32, 16, 23, 35, 76, 2}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.model);
    const testing::ServerProcess server({"--model", Directory(c.model), "--dtype", "float32"});
    ASSERT_FALSE(server.address().empty()) << server.StderrText();
    const auto stub = server.Connect();
    v1::EmbedRequest ids;
    AddIds(c.ids, ids);
    const v1::EmbedResponse by_text = Embed(*stub, TextRequest({c.text}));
    EXPECT_EQ(by_text.usage().prompt_tokens(), c.ids.size());
    EXPECT_EQ(by_text.embeddings(0).SerializeAsString(),
              Embed(*stub, ids).embeddings(0).SerializeAsString());
    EXPECT_NEAR(Length(by_text.embeddings(0)), 1, 1e-6);
  }
}

TEST_F(EncoderE2e, OnlyEmbeds) {
  const v1::ModelInfo info = ModelInfo(*stub_);
  EXPECT_FALSE(info.generates());
  EXPECT_EQ(info.hidden_size(), 32U);
  EXPECT_EQ(info.default_pooling(), v1::POOLING_MEAN);
  EXPECT_EQ(info.kv_bytes_per_token(), 0U);
  const v1::ServerInfo server = testing::Info(*stub_);
  EXPECT_EQ(server.kv_groups_size(), 0);
  EXPECT_EQ(server.limits().max_embed_inputs(), 256U);
  const testing::Streamed got = testing::Stream(*stub_, testing::Text("ab", 1));
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(got.status.error_message(), HasSubstr("this model only embeds"));
  grpc::ClientContext context;
  v1::CostEstimate cost;
  EXPECT_EQ(stub_->EstimateCost(&context, testing::Text("ab", 1), &cost).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(EncoderE2e, RefusesWhatIsOutOfRangeByName) {
  const auto invalid = grpc::StatusCode::INVALID_ARGUMENT;
  ExpectRefused(*stub_, {}, invalid, HasSubstr("inputs has 0 entries; the range is 1 to 256"));
  ExpectRefused(*stub_, TextRequest(std::vector<std::string>(257, "a")), invalid,
                HasSubstr("inputs has 257 entries; the range is 1 to 256"));
  v1::EmbedRequest unset = TextRequest({"a"});
  unset.add_inputs();
  ExpectRefused(*stub_, unset, invalid, HasSubstr("inputs[1] is not set; send text or token_ids"));
  v1::EmbedRequest empty = TextRequest({"a"});
  AddIds({}, empty);
  ExpectRefused(*stub_, empty, invalid, HasSubstr("inputs[1] is empty"));
  v1::EmbedRequest beyond;
  AddIds({160}, beyond);
  ExpectRefused(*stub_, beyond, invalid,
                HasSubstr("inputs[0].token_ids has 160; the limit is 159"));
  v1::EmbedRequest pooling = TextRequest({"a"});
  pooling.set_pooling(v1::POOLING_UNSPECIFIED);
  ExpectRefused(*stub_, pooling, invalid, HasSubstr("pooling is 0"));
  v1::EmbedRequest name = TextRequest({"a"});
  name.set_tenant(std::string(257, 't'));
  ExpectRefused(*stub_, name, invalid, HasSubstr("tenant has 257 bytes; the limit is 256"));
  v1::EmbedRequest longer = TextRequest({"a"});
  AddIds(std::vector<uint32_t>(101, 5), longer);
  ExpectRefused(*stub_, longer, grpc::StatusCode::OUT_OF_RANGE,
                AllOf(HasSubstr("inputs[1]: the text has 101 tokens"),
                      HasSubstr("100 (--max-batch-tokens)")));
}

// More than any queue or step holds, against each text alone.
TEST_F(EncoderE2e, ManyTextsAtOnceGiveTheBitsOfEachAlone) {
  std::vector<std::string> texts;
  for (int i = 0; i < 256; ++i)
    texts.push_back(std::string(1 + i % 40, static_cast<char>('a' + i % 26)));
  std::vector<v1::EmbedResponse> together(3);
  std::vector<std::thread> clients;
  for (v1::EmbedResponse& response : together) {
    clients.emplace_back([&] {
      while (Embed(*stub_, TextRequest(texts), response).error_code() ==
             grpc::StatusCode::RESOURCE_EXHAUSTED) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (int i = 0; i < 256; i += 17) {
    const v1::EmbedResponse alone = Embed(*stub_, TextRequest({texts[i]}));
    for (const v1::EmbedResponse& response : together) {
      ASSERT_EQ(response.embeddings_size(), 256);
      EXPECT_EQ(response.embeddings(i).SerializeAsString(),
                alone.embeddings(0).SerializeAsString());
    }
  }
}

TEST(DecoderE2e, EmbedsBesideGenerationWithTheSameBitsAndTheSameTokens) {
  const testing::ServerProcess server({"--model", kModel, "--max-batch-tokens", "64"});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  const auto stub = server.Connect();
  EXPECT_TRUE(ModelInfo(*stub).generates());
  EXPECT_EQ(ModelInfo(*stub).default_pooling(), v1::POOLING_LAST);
  std::string tale;
  for (int i = 0; i < 30; ++i) absl::StrAppend(&tale, "Once upon a time there was a fox. ");
  v1::EmbedRequest request = TextRequest({"A fox.", tale, "Once upon a time"});
  request.set_pooling(v1::POOLING_MEAN);
  const v1::EmbedResponse alone = Embed(*stub, request);
  EXPECT_GT(alone.usage().prompt_tokens(), 200U);  // several steps
  EXPECT_EQ(alone.usage().cached_prompt_tokens(), 0U);
  const std::string text = testing::Stream(*stub, testing::Text(tale, 60)).texts[0];

  testing::Streamed beside;
  std::thread generates([&] { beside = testing::Stream(*stub, testing::Text(tale, 60)); });
  std::vector<v1::EmbedResponse> responses(4);
  std::vector<std::thread> clients;
  for (v1::EmbedResponse& response : responses) {
    clients.emplace_back([&] { response = Embed(*stub, request); });
  }
  for (std::thread& client : clients) client.join();
  generates.join();
  EXPECT_EQ(beside.texts[0], text);
  for (const v1::EmbedResponse& response : responses) {
    ASSERT_EQ(response.embeddings_size(), 3);
    for (int i = 0; i < 3; ++i) {
      EXPECT_NEAR(Length(response.embeddings(i)), 1, 1e-5);
      EXPECT_EQ(response.embeddings(i).SerializeAsString(),
                alone.embeddings(i).SerializeAsString());
    }
  }
  EXPECT_EQ(testing::Info(*stub).kv_groups(0).used_blocks(), 0U);
}

TEST(DecoderE2e, AbortDeadlineAndALostClientEndAnEmbedWhole) {
  const testing::ServerProcess server(
      {"--model", kModel, "--max-batch-tokens", "16", "--max-num-sequences", "4"});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  const auto stub = server.Connect();
  std::string tale;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&tale, "Once upon a time there was a fox. ");
  v1::EmbedRequest request = TextRequest(std::vector<std::string>(256, tale));
  request.set_request_id("long");
  request.set_pooling(v1::POOLING_MEAN);
  v1::EmbedResponse response;
  grpc::Status status;
  std::thread client([&] { status = Embed(*stub, request, response); });
  v1::AbortRequest abort;
  abort.set_request_id("long");
  for (v1::AbortResponse aborted; !aborted.aborted();) {
    grpc::ClientContext context;
    ASSERT_TRUE(stub->Abort(&context, abort, &aborted).ok());
  }
  client.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED) << status.error_message();

  grpc::ClientContext late;
  late.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  EXPECT_EQ(stub->Embed(&late, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  grpc::ClientContext lost;
  std::thread leaves([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    lost.TryCancel();
  });
  EXPECT_EQ(stub->Embed(&lost, request, &response).error_code(), grpc::StatusCode::CANCELLED);
  leaves.join();
  for (int i = 0; i < 200; ++i) {
    const v1::ServerInfo info = testing::Info(*stub);
    if (info.load().running() + info.load().queued() + info.kv_groups(0).used_blocks() == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  FAIL() << testing::Info(*stub).DebugString();
}

}  // namespace
}  // namespace quire
