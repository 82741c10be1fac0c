// The real server under real clients: load, cancellation, bad requests. Long because all of it
// shares one running server.
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using testing::Info;
using testing::kModel;
using testing::Stream;
using testing::Streamed;
using testing::Text;

// Every block free (or cached), nothing queued or running; waits for the last steps.
void ExpectNothingIsHeld(v1::GenerationService::Stub& stub) {
  v1::ServerInfo info;
  for (int i = 0; i < 200; ++i) {
    info = Info(stub);
    uint32_t used = 0;
    for (const v1::KvGroupInfo& group : info.kv_groups()) used += group.used_blocks();
    if (used == 0 && info.load().running() + info.load().queued() == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL() << info.ShortDebugString();
}

// One server for the tests that don't stop it: it must live through all of them.
class ServerE2e : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new testing::ServerProcess({"--model", kModel, "--kv-cache-bytes", "64MiB",
                                          "--max-num-sequences", "64", "--stall-seconds", "2"});
    ASSERT_FALSE(server_->address().empty()) << server_->StderrText();
  }
  static void TearDownTestSuite() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->Wait(), 0) << server_->StderrText();
    delete server_;
  }
  void TearDown() override { ExpectNothingIsHeld(*stub_); }

  void ExpectRefused(const v1::GenerateRequest& request, grpc::StatusCode code,
                     const ::testing::Matcher<std::string>& message) {
    const Streamed streamed = Stream(*stub_, request);
    EXPECT_EQ(streamed.status.error_code(), code) << streamed.status.error_message();
    EXPECT_THAT(streamed.status.error_message(), message);
    EXPECT_TRUE(streamed.events.empty());
    grpc::ClientContext context;
    v1::GenerateResponse response;
    const grpc::Status unary = stub_->Generate(&context, request, &response);
    EXPECT_EQ(unary.error_code(), code);
    EXPECT_THAT(unary.error_message(), message);
  }

  static testing::ServerProcess* server_;
  std::unique_ptr<v1::GenerationService::Stub> stub_ = server_->Connect();
};
testing::ServerProcess* ServerE2e::server_ = nullptr;

TEST_F(ServerE2e, AStreamHasItsEventsInOrderAndWholeTexts) {
  v1::GenerateRequest request = Text("Once upon a time", 40);
  request.set_num_sequences(3);
  request.mutable_response()->set_token_ids(true);
  request.mutable_response()->set_echo_prompt(true);
  const Streamed got = Stream(*stub_, request);
  ASSERT_TRUE(got.status.ok()) << got.status.error_message();
  ASSERT_GE(got.events.size(), 5U);
  ASSERT_TRUE(got.events[0].has_started());
  EXPECT_EQ(got.events[0].started().seed(), 11U);
  EXPECT_GT(got.events[0].started().prompt_tokens(), 2U);
  EXPECT_EQ(got.events[1].prompt().text(), "Once upon a time");
  ASSERT_EQ(got.finished.size(), 3U);
  for (const v1::Finished& finished : got.finished) {
    const uint32_t index = finished.sequence_index();
    EXPECT_EQ(finished.usage().completion_tokens(), got.token_ids[index].size());
    EXPECT_EQ(finished.usage().prompt_tokens(), got.events[0].started().prompt_tokens());
    // The whole text is what the tokenizer makes of the ids.
    grpc::ClientContext context;
    v1::DetokenizeRequest ids;
    for (uint32_t id : got.token_ids[index]) ids.add_token_ids(id);
    v1::DetokenizeResponse text;
    ASSERT_TRUE(stub_->Detokenize(&context, ids, &text).ok());
    EXPECT_EQ(got.texts[index], text.text());
  }
  EXPECT_NE(got.texts[0], got.texts[1]);
}

TEST_F(ServerE2e, TheUnaryCallGivesWhatTheStreamGives) {
  v1::GenerateRequest request = Text("The old king", 30);
  request.set_num_sequences(2);
  request.mutable_response()->set_token_ids(true);
  request.mutable_response()->set_top_logprobs(2);
  request.mutable_response()->set_prompt_logprobs(true);
  const Streamed streamed = Stream(*stub_, request);
  grpc::ClientContext context;
  v1::GenerateResponse response;
  ASSERT_TRUE(stub_->Generate(&context, request, &response).ok());
  ASSERT_EQ(response.sequences_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(response.sequences(i).text(), streamed.texts[i]);
    EXPECT_EQ(std::vector<uint32_t>(response.sequences(i).token_ids().begin(),
                                    response.sequences(i).token_ids().end()),
              streamed.token_ids[i]);
    EXPECT_EQ(response.sequences(i).logprobs_size(), response.sequences(i).token_ids_size());
  }
  EXPECT_EQ(response.prompt().logprobs_size(),
            static_cast<int>(response.usage().prompt_tokens()) - 1);
  EXPECT_EQ(response.usage().completion_tokens(),
            streamed.token_ids[0].size() + streamed.token_ids[1].size());
}

TEST_F(ServerE2e, NoNewTokensScoresThePromptAlone) {
  v1::GenerateRequest request = Text("The old king", 0);
  request.mutable_response()->set_prompt_logprobs(true);
  grpc::ClientContext context;
  v1::GenerateResponse response;
  ASSERT_TRUE(stub_->Generate(&context, request, &response).ok());
  EXPECT_EQ(response.prompt().logprobs_size(),
            static_cast<int>(response.usage().prompt_tokens()) - 1);
  ASSERT_EQ(response.sequences_size(), 1);
  EXPECT_EQ(response.sequences(0).text(), "");
  EXPECT_EQ(response.sequences(0).finish_reason(), v1::FINISH_REASON_MAX_TOKENS);
  EXPECT_EQ(response.usage().completion_tokens(), 0U);
}

TEST_F(ServerE2e, SixtyFourConcurrentStreamsEqualTheirSoloRuns) {
  const std::vector<std::string> starts = {"Once upon a time", "The old king had", "A",
                                           "In the deep forest there lived a",
                                           "\"Who are you?\" asked the"};
  std::vector<v1::GenerateRequest> requests;
  for (uint32_t i = 0; i < 64; ++i) {
    std::string text;
    for (uint32_t k = 0; k <= i % 7 * 3; ++k) text += starts[(i + k) % starts.size()] + " ";
    v1::GenerateRequest request = Text(text, 10 + i % 40);
    request.mutable_sampling()->set_seed(i);
    request.mutable_sampling()->set_temperature(i % 2 == 0 ? 0.0F : 0.9F);
    request.mutable_response()->set_token_ids(true);
    request.set_bypass_prefix_cache(i % 3 == 0);
    requests.push_back(request);
  }
  std::vector<Streamed> solo;
  for (const v1::GenerateRequest& request : requests) solo.push_back(Stream(*stub_, request));
  std::vector<Streamed> together(requests.size());
  std::vector<std::thread> clients;
  for (size_t i = 0; i < requests.size(); ++i) {
    clients.emplace_back([&, i] { together[i] = Stream(*server_->Connect(), requests[i]); });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(together[i].status.ok()) << together[i].status.error_message();
    EXPECT_EQ(together[i].token_ids, solo[i].token_ids) << i;
    EXPECT_EQ(together[i].texts, solo[i].texts) << i;
  }
}

TEST_F(ServerE2e, TwoHundredCancelsAtRandomTimesLeaveEveryBlockFree) {
  std::atomic<int> started{0};
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < 10; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937 random(client);
      const auto stub = server_->Connect();
      for (int i = 0; i < 20; ++i) {
        v1::GenerateRequest request = Text("Once upon a time there was", 1500);
        request.mutable_stopping()->set_ignore_eos(true);
        request.set_num_sequences(1 + random() % 3);
        grpc::ClientContext context;
        const auto reader = stub->GenerateStream(&context, request);
        v1::GenerateEvent event;
        for (uint32_t read = random() % 12; read > 0 && reader->Read(&event); --read) {
          started += event.has_started() ? 1 : 0;
        }
        context.TryCancel();
        while (reader->Read(&event)) {
        }
        EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(started, 100);
  ExpectNothingIsHeld(*stub_);
}

TEST_F(ServerE2e, BadRequestsGetTheirOwnCodesAndTheServerGoesOn) {
  const auto invalid = grpc::StatusCode::INVALID_ARGUMENT;
  v1::GenerateRequest request = Text("A", 5);

  v1::GenerateRequest bad = request;
  bad.set_num_sequences(33);
  ExpectRefused(bad, invalid, HasSubstr("num_sequences is 33; the range is 1 to 32"));
  bad.set_num_sequences(0);
  ExpectRefused(bad, invalid, HasSubstr("num_sequences is 0"));

  bad = request;
  bad.mutable_sampling()->set_temperature(std::numeric_limits<float>::quiet_NaN());
  ExpectRefused(bad, invalid, HasSubstr("sampling.temperature is nan; the range is 0 to 100"));
  bad.mutable_sampling()->set_temperature(-1);
  ExpectRefused(bad, invalid, HasSubstr("sampling.temperature is -1"));
  bad = request;
  bad.mutable_sampling()->set_top_p(0);
  ExpectRefused(bad, invalid, HasSubstr("sampling.top_p is 0; the range is above 0, to 1"));
  bad = request;
  (*bad.mutable_sampling()->mutable_logit_bias())[4096] = 1;
  ExpectRefused(bad, invalid, HasSubstr("sampling.logit_bias has token id 4096"));

  bad = request;
  bad.mutable_token_ids()->add_ids(4096);
  ExpectRefused(bad, invalid, HasSubstr("token_ids has 4096; the limit is 4095"));
  bad = request;
  bad.mutable_stopping()->add_stop_token_ids(4096);
  ExpectRefused(bad, invalid, HasSubstr("stopping.stop_token_ids has 4096; the limit is 4095"));
  bad = request;
  for (int i = 0; i < 17; ++i) bad.mutable_stopping()->add_stop_strings("x");
  ExpectRefused(bad, invalid, HasSubstr("stopping.stop_strings has 17 entries; the limit is 16"));
  bad = request;
  bad.mutable_stopping()->add_stop_strings(std::string(257, 'x'));
  ExpectRefused(bad, invalid, HasSubstr("257 bytes; the range is 1 to 256"));
  bad = request;
  bad.mutable_stopping()->set_min_new_tokens(6);
  ExpectRefused(bad, invalid, HasSubstr("stopping.min_new_tokens is 6"));
  bad = request;
  bad.mutable_response()->set_top_logprobs(21);
  ExpectRefused(bad, invalid, HasSubstr("response.top_logprobs is 21; the limit is 20"));
  bad = request;
  bad.set_tenant(std::string(257, 't'));
  ExpectRefused(bad, invalid, HasSubstr("tenant has 257 bytes; the limit is 256"));

  ExpectRefused(Text("", 5), invalid, HasSubstr("the prompt is empty"));
  ExpectRefused({}, invalid, HasSubstr("prompt is not set"));
  bad = request;
  bad.mutable_chat();
  ExpectRefused(bad, invalid, HasSubstr("chat.messages is empty"));
  bad.mutable_chat()->add_messages()->set_content("hello");
  ExpectRefused(bad, invalid, HasSubstr("chat.messages[0].role has 0 bytes; the range is 1 to 64"));
  bad = request;
  bad.set_regex("a+");
  ExpectRefused(bad, grpc::StatusCode::FAILED_PRECONDITION, HasSubstr("constraint"));

  std::string long_text;
  while (long_text.size() < 40000) long_text += "the king and the queen ";
  ExpectRefused(Text(long_text, 5), grpc::StatusCode::OUT_OF_RANGE,
                AllOf(HasSubstr("prompt has"), HasSubstr("the limit is 2047")));
  ExpectRefused(
      Text("A", 2048), grpc::StatusCode::OUT_OF_RANGE,
      HasSubstr("prompt (1 tokens) + max_new_tokens (2048) = 2049 is more than the 2048"));
  ExpectRefused(Text(std::string(5 << 20, 'x'), 5), grpc::StatusCode::RESOURCE_EXHAUSTED,
                HasSubstr("larger than max"));

  EXPECT_TRUE(Stream(*stub_, request).status.ok());
}

TEST_F(ServerE2e, ASecondUseOfALiveRequestIdIsRefusedUntilItEnds) {
  v1::GenerateRequest request = Text("Once", 1000);
  request.set_request_id("mine");
  request.mutable_stopping()->set_ignore_eos(true);
  grpc::ClientContext context;
  const auto reader = stub_->GenerateStream(&context, request);
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.started().request_id(), "mine");
  ExpectRefused(request, grpc::StatusCode::ALREADY_EXISTS, HasSubstr("\"mine\" is live already"));
  v1::GenerateRequest other = Text("Once", 2);
  other.set_request_id("mine");
  other.set_tenant("another");  // ids are each tenant's own
  EXPECT_TRUE(Stream(*stub_, other).status.ok());

  v1::AbortRequest abort;
  abort.set_request_id("mine");
  abort.set_tenant("another");
  v1::AbortResponse aborted;
  {
    grpc::ClientContext abort_context;
    ASSERT_TRUE(stub_->Abort(&abort_context, abort, &aborted).ok());
    EXPECT_FALSE(aborted.aborted()) << "another tenant's";
  }
  abort.clear_tenant();
  {
    grpc::ClientContext abort_context;
    ASSERT_TRUE(stub_->Abort(&abort_context, abort, &aborted).ok());
    EXPECT_TRUE(aborted.aborted());
  }
  v1::Finished finished;
  while (reader->Read(&event)) {
    if (event.has_finished()) finished = event.finished();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(finished.finish_reason(), v1::FINISH_REASON_CANCELLED);
  request.mutable_stopping()->set_max_new_tokens(2);
  EXPECT_TRUE(Stream(*stub_, request).status.ok()) << "the id is free once its stream has ended";
}

TEST_F(ServerE2e, StopStringsCutTheTextWhereverTokensBegin) {
  v1::GenerateRequest request = Text("Once upon a time", 60);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_response()->set_token_ids(true);
  const std::string whole = Stream(*stub_, request).texts[0];
  ASSERT_GT(whole.size(), 30U);
  for (size_t begin : {size_t{3}, size_t{10}, size_t{17}}) {
    const std::string stop = whole.substr(begin, 7);
    const size_t first = whole.find(stop);
    v1::GenerateRequest stopping = request;
    stopping.mutable_stopping()->add_stop_strings("never in the text");
    stopping.mutable_stopping()->add_stop_strings(stop);
    const Streamed got = Stream(*stub_, stopping);
    EXPECT_EQ(got.texts[0], whole.substr(0, first));
    ASSERT_EQ(got.finished.size(), 1U);
    EXPECT_EQ(got.finished[0].finish_reason(), v1::FINISH_REASON_STOP_STRING);
    EXPECT_EQ(got.finished[0].stop_match().text(), stop);
    EXPECT_EQ(got.finished[0].usage().completion_tokens(), got.token_ids[0].size());
    stopping.mutable_stopping()->set_include_stop_string(true);
    EXPECT_EQ(Stream(*stub_, stopping).texts[0], whole.substr(0, first + stop.size()));
    stopping.mutable_stopping()->set_min_new_tokens(59);
    EXPECT_EQ(Stream(*stub_, stopping).texts[0], whole);
  }
}

TEST_F(ServerE2e, AStopTokenIsCountedButGivesNoTextAndCompletesNoStopString) {
  v1::GenerateRequest request = Text("Once upon a time", 20);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_response()->set_token_ids(true);
  const Streamed whole = Stream(*stub_, request);
  const auto text_of = [&](size_t count) {
    v1::DetokenizeRequest ids;
    for (size_t i = 0; i < count; ++i) ids.add_token_ids(whole.token_ids[0][i]);
    grpc::ClientContext context;
    v1::DetokenizeResponse text;
    EXPECT_TRUE(stub_->Detokenize(&context, ids, &text).ok());
    return text.text();
  };
  const std::vector<uint32_t>& ids = whole.token_ids[0];
  const size_t last = static_cast<size_t>(std::find(ids.begin(), ids.end(), ids[7]) - ids.begin());
  const std::string its_text = text_of(last + 1).substr(text_of(last).size());
  ASSERT_FALSE(its_text.empty());
  request.mutable_stopping()->add_stop_token_ids(ids[last]);
  request.mutable_stopping()->add_stop_strings(text_of(last).substr(text_of(last).size() - 1) +
                                               its_text);
  const Streamed got = Stream(*stub_, request);
  ASSERT_EQ(got.finished.size(), 1U);
  EXPECT_EQ(got.finished[0].finish_reason(), v1::FINISH_REASON_STOP_TOKEN);
  EXPECT_EQ(got.finished[0].stop_match().token_id(), ids[last]);
  EXPECT_EQ(got.finished[0].usage().completion_tokens(), last + 1);
  EXPECT_EQ(got.token_ids[0], std::vector<uint32_t>(ids.begin(), ids.begin() + last + 1));
  EXPECT_EQ(got.texts[0], text_of(last));
}

TEST_F(ServerE2e, TimeLimitsFinishAndDeadlinesFail) {
  v1::GenerateRequest request = Text("Once", 2000);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_stopping()->mutable_time_limit()->set_nanos(50'000'000);
  const Streamed got = Stream(*stub_, request);
  EXPECT_TRUE(got.status.ok());
  ASSERT_EQ(got.finished.size(), 1U);
  EXPECT_EQ(got.finished[0].finish_reason(), v1::FINISH_REASON_TIME_LIMIT);

  request.mutable_stopping()->clear_time_limit();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  const auto reader = stub_->GenerateStream(&context, request);
  v1::GenerateEvent event;
  while (reader->Read(&event)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(ServerE2e, AStalledReaderHoldsUpNobodyAndFailsAfterTheLimit) {
  // The client takes no more than its first flow-control window: no BDP probing.
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto slow = v1::GenerationService::NewStub(
      grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), args));
  v1::GenerateRequest request = Text("Once", 2000);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_response()->set_top_logprobs(20);  // big messages
  grpc::ClientContext context;
  const auto reader = slow->GenerateStream(&context, request);
  v1::GenerateEvent started;
  ASSERT_TRUE(reader->Read(&started));
  EXPECT_TRUE(Stream(*stub_, Text("The king", 30)).status.ok());
  // Paused or still running (a slow machine), it goes at the limit.
  const auto lives = [&] {
    const v1::LoadInfo load = Info(*stub_).load();
    return load.running() + load.paused() > 0;
  };
  for (int i = 0; i < 1000 && lives(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  v1::GenerateEvent event;
  v1::GenerateEvent last;
  while (reader->Read(&event)) last = event;
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ASSERT_TRUE(last.has_failed()) << last.ShortDebugString();
  EXPECT_EQ(last.failed().code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(last.failed().message(), status.error_message());
}

TEST_F(ServerE2e, TokenizeDetokenizeAndEstimateAnswer) {
  grpc::ClientContext context;
  v1::TokenizeRequest text;
  text.set_text(
      "Once upon a time, \xe2\x80\x9c"
      "caf\xc3\xa9\xe2\x80\x9d <|im_end|>");
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(stub_->Tokenize(&context, text, &tokens).ok());
  v1::DetokenizeRequest ids;
  *ids.mutable_token_ids() = tokens.token_ids();
  ids.set_skip_special_tokens(false);
  v1::DetokenizeResponse back;
  grpc::ClientContext back_context;
  ASSERT_TRUE(stub_->Detokenize(&back_context, ids, &back).ok());
  EXPECT_EQ(back.text(), text.text());

  text.clear_input();
  grpc::ClientContext nothing_context;
  const grpc::Status nothing = stub_->Tokenize(&nothing_context, text, &tokens);
  EXPECT_EQ(nothing.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(nothing.error_message(), HasSubstr("input is not set"));

  v1::GenerateRequest request = Text("Once upon a time", 100);
  request.set_num_sequences(4);
  v1::CostEstimate cost;
  grpc::ClientContext cost_context;
  ASSERT_TRUE(stub_->EstimateCost(&cost_context, request, &cost).ok());
  EXPECT_TRUE(cost.fits_ever());
  EXPECT_TRUE(cost.fits_now());
  EXPECT_EQ(cost.kv_blocks(), 8U);  // 105 tokens are two pages of 64 for each of four
  EXPECT_EQ(cost.kv_bytes(), 8U * 64 * 3072);
  request.mutable_stopping()->set_max_new_tokens(5000);
  v1::CostEstimate never;
  grpc::ClientContext never_context;
  ASSERT_TRUE(stub_->EstimateCost(&never_context, request, &never).ok());
  EXPECT_FALSE(never.fits_ever());
  EXPECT_THAT(never.refusal(), HasSubstr("is more than the 2048"));
}

TEST_F(ServerE2e, InfoTellsTheModelTheMemoryAndTheLimits) {
  grpc::ClientContext context;
  v1::ModelInfo model;
  ASSERT_TRUE(stub_->GetModelInfo(&context, {}, &model).ok());
  EXPECT_EQ(model.name(), "fairytale");
  EXPECT_EQ(model.architecture(), "Qwen3ForCausalLM");
  EXPECT_EQ(model.vocab_size(), 4096U);
  EXPECT_EQ(model.kv_bytes_per_token(), 3072U);
  EXPECT_EQ(model.capacity_tokens(), 2048U);
  EXPECT_THAT(model.eos_token_ids(), ::testing::ElementsAre(4093, 4095));
  const v1::ServerInfo info = Info(*stub_);
  EXPECT_EQ(info.state(), v1::SERVER_STATE_SERVING);
  EXPECT_EQ(info.limits().max_sequences_per_request(), 32U);
  EXPECT_EQ(info.defaults().sampling().temperature(), 1.0F);
  uint64_t kv_bytes = 0;
  for (const v1::MemoryUse& use : info.memory_plan()) {
    if (use.purpose() == "kv cache") kv_bytes = use.bytes();
  }
  EXPECT_LE(kv_bytes, uint64_t{64} << 20);
  EXPECT_GT(kv_bytes, uint64_t{60} << 20);
}

}  // namespace
}  // namespace quire
