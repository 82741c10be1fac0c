// The demo checkpoint against its oracle (models/fairytale/golden.json), through the real server
// and a real socket.
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/golden.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

const char kModel[] = QUIRE_SOURCE_DIR "/models/fairytale";

v1::GenerateRequest Greedy(uint32_t max_new_tokens) {
  v1::GenerateRequest request;
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_response()->set_token_ids(true);
  request.mutable_response()->set_top_logprobs(5);
  return request;
}

v1::GenerateResponse Generate(v1::GenerationService::Stub& stub,
                              const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  v1::GenerateResponse response;
  const grpc::Status status = stub.Generate(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

TEST(GoldenE2e, Float32MeetsTheOracleStrictlyFromTheText) {
  const testing::ServerProcess server({"--model", kModel, "--dtype", "float32"});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  const auto stub = server.Connect();
  for (const testing::GoldenPrompt& prompt : testing::ReadGolden(kModel).prompts) {
    SCOPED_TRACE(prompt.name);
    v1::GenerateRequest request = Greedy(static_cast<uint32_t>(prompt.greedy_ids.size()));
    request.set_text(prompt.text);
    request.mutable_response()->set_echo_prompt(true);
    const v1::GenerateResponse response = Generate(*stub, request);
    EXPECT_EQ(std::vector<int32_t>(response.prompt().token_ids().begin(),
                                   response.prompt().token_ids().end()),
              prompt.ids);
    ASSERT_EQ(response.sequences_size(), 1);
    const v1::GeneratedSequence& sequence = response.sequences(0);
    EXPECT_EQ(std::vector<int32_t>(sequence.token_ids().begin(), sequence.token_ids().end()),
              prompt.greedy_ids);
    for (const testing::GoldenTop& top : prompt.top) {
      const v1::TokenLogprobs& got = sequence.logprobs(top.step);
      ASSERT_EQ(got.top_size(), static_cast<int>(top.ids.size()));
      for (int i = 0; i < got.top_size(); ++i) {
        EXPECT_EQ(static_cast<int32_t>(got.top(i).token_id()), top.ids[i]);
        EXPECT_NEAR(got.top(i).logprob(), top.logprobs[i], 1e-3) << "step " << top.step;
      }
    }
  }
}

// A greedy token that differs counts only where the oracle's first choice leads by more than 0.1;
// comparison then goes on from the oracle's token.
TEST(GoldenE2e, Bfloat16MeetsTheOracleByTheNearTieRule) {
  const testing::ServerProcess server({"--model", kModel, "--dtype", "bfloat16"});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  const auto stub = server.Connect();
  for (const testing::GoldenPrompt& prompt : testing::ReadGolden(kModel).prompts) {
    SCOPED_TRACE(prompt.name);
    std::vector<int32_t> forced = prompt.ids;
    size_t done = 0;
    while (done < prompt.greedy_ids.size()) {
      v1::GenerateRequest request = Greedy(static_cast<uint32_t>(prompt.greedy_ids.size() - done));
      request.mutable_token_ids()->mutable_ids()->Assign(forced.begin(), forced.end());
      const v1::GenerateResponse response = Generate(*stub, request);
      ASSERT_EQ(response.sequences_size(), 1);
      for (uint32_t token : response.sequences(0).token_ids()) {
        const bool same = static_cast<int32_t>(token) == prompt.greedy_ids[done];
        EXPECT_TRUE(same || prompt.greedy_gaps[done] <= 0.1)
            << "token " << done << " is " << token << "; the oracle's leads by "
            << prompt.greedy_gaps[done];
        forced.push_back(prompt.greedy_ids[done++]);
        if (!same) break;
      }
    }
  }
}

// The perplexity of held-out text in windows of 512 tokens, from the log-probabilities of prompts.
double Perplexity(v1::GenerationService::Stub& stub, int64_t& predictions) {
  std::ostringstream text;
  text << std::ifstream(std::string(kModel) + "/heldout.txt").rdbuf();
  grpc::ClientContext context;
  v1::TokenizeRequest tokenize;
  tokenize.set_text(text.str());
  tokenize.set_add_special_tokens(false);
  v1::TokenizeResponse tokens;
  EXPECT_TRUE(stub.Tokenize(&context, tokenize, &tokens).ok());
  constexpr int kWindow = 512;
  double loss = 0;
  predictions = 0;
  for (int begin = 0; begin < tokens.token_ids_size(); begin += kWindow) {
    v1::GenerateRequest request;
    const int end = std::min(begin + kWindow, tokens.token_ids_size());
    for (int i = begin; i < end; ++i) request.mutable_token_ids()->add_ids(tokens.token_ids(i));
    request.mutable_stopping()->set_max_new_tokens(0);
    request.mutable_response()->set_prompt_logprobs(true);
    const v1::GenerateResponse response = Generate(stub, request);
    EXPECT_EQ(response.prompt().logprobs_size(), end - begin - 1);
    for (const v1::TokenLogprobs& scored : response.prompt().logprobs()) loss -= scored.logprob();
    predictions += response.prompt().logprobs_size();
  }
  return std::exp(loss / static_cast<double>(predictions));
}

TEST(GoldenE2e, HeldOutPerplexityIsTheOracles) {
  const testing::Golden golden = testing::ReadGolden(kModel);
  for (const auto& [dtype, tolerance] : {std::pair("float32", 1e-3), std::pair("bfloat16", 0.2)}) {
    SCOPED_TRACE(dtype);
    const testing::ServerProcess server({"--model", kModel, "--dtype", dtype});
    int64_t predictions = 0;
    EXPECT_NEAR(Perplexity(*server.Connect(), predictions), golden.heldout_perplexity, tolerance);
    EXPECT_EQ(predictions, golden.heldout_predictions);
  }
}

}  // namespace
}  // namespace quire
