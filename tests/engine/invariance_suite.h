// The law that a request gives the same tokens and bit-equal log-probabilities, whatever the load:
// alone, among 63 others, in chunks of any size, after preemption, from a cached prefix, on any
// number of threads. On the demo checkpoint and on small random ones with sliding windows, through
// the real engine and kernels. A program instantiates it for its backend.
#ifndef QUIRE_TESTS_ENGINE_INVARIANCE_SUITE_H_
#define QUIRE_TESTS_ENGINE_INVARIANCE_SUITE_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/engine/invariance.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/golden.h"
#include "tests/testing/source_path.h"

namespace quire::testing {

inline std::string DemoModel() { return SourcePath("models/fairytale"); }

// What the laws hold of.
struct InvarianceOn {
  std::string name;
  DType dtype = DType::kBFloat16;
  BackendOptions backend;
  // Whether pages that generated rows wrote serve other prompts: see
  // Backend::prefill_equals_decode.
  bool shares_generated = true;
  bool (*is_there)() = [] { return true; };  // whether the machine has it
};

inline void PrintTo(const InvarianceOn& on, std::ostream* out) { *out << on.name; }

struct EngineSetup {
  int64_t max_batch_tokens = 512;
  int max_num_sequences = 64;
  size_t kv_cache_bytes = size_t{64} << 20;
  int block_tokens = 64;
  int threads = 2;
};

class Invariance : public ::testing::TestWithParam<InvarianceOn> {
 protected:
  void SetUp() override {
    if (!GetParam().is_there()) GTEST_SKIP() << "there is no device for it";
  }

  std::unique_ptr<LoadedModel> Load(const EngineSetup& setup) {
    LoadOptions options;
    options.model = model_;
    options.dtype = GetParam().dtype;
    options.backend = GetParam().backend;
    options.backend.threads = setup.threads;
    options.max_batch_tokens = setup.max_batch_tokens;
    options.max_num_sequences = setup.max_num_sequences;
    options.kv_cache_bytes = setup.kv_cache_bytes;
    options.block_tokens = setup.block_tokens;
    options.sinks = sinks_;
    return LoadForTest(options);
  }

  // Requests of mixed lengths and ways of drawing.
  static std::vector<Request> Requests(size_t count) {
    const auto prompts = ReadGolden(DemoModel()).prompts;
    std::vector<Request> requests;
    for (size_t i = 0; i < count; ++i) {
      Request request;
      // Prompts of 1 to about 200 tokens, all different.
      for (size_t part = 0; part <= i % 4; ++part) {
        const auto& ids = prompts[(i + part) % prompts.size()].ids;
        request.prompt.insert(request.prompt.end(), ids.begin(), ids.end());
      }
      request.stopping.max_new_tokens = 12 + static_cast<int64_t>(i % 5) * 4;
      request.sampling.seed = 1000 + i;
      request.sampling.temperature = i % 3 == 0 ? 0.0F : 0.9F;
      request.sampling.top_k = i % 3 == 1 ? 40 : 0;
      request.sampling.top_p = i % 3 == 2 ? 0.9F : 1.0F;
      request.sampling.repetition_penalty = i % 4 == 0 ? 1.1F : 1.0F;
      request.num_sequences = i % 8 == 5 ? 3 : 1;
      request.top_logprobs = 5;
      requests.push_back(request);
    }
    return requests;
  }

  std::vector<Outcome> Solo(const std::vector<Request>& requests, int block_tokens = 64) {
    return RunAlone(Load({.block_tokens = block_tokens})->engine(), requests);
  }

  std::string model_ = DemoModel();
  AttentionSinkOptions sinks_;
};

TEST_P(Invariance, AmongSixtyThreeOthers) {
  const std::vector<Request> requests = Requests(64);
  const std::vector<Outcome> solo = Solo(requests);
  const auto loaded = Load({});
  ExpectAllSame(SubmitAll(loaded->engine(), requests), solo);
}

TEST_P(Invariance, InChunksOfAnySizeAndOnAnyThreads) {
  const std::vector<Request> requests = Requests(8);
  const std::vector<Outcome> solo = Solo(requests);
  for (const EngineSetup& setup :
       {EngineSetup{.max_batch_tokens = 5, .max_num_sequences = 4},
        EngineSetup{.max_batch_tokens = 37, .max_num_sequences = 4, .threads = 1},
        EngineSetup{.max_batch_tokens = 64, .threads = 3}}) {
    SCOPED_TRACE(setup.max_batch_tokens);
    const auto loaded = Load(setup);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      ExpectSame(testing::Run(loaded->engine(), requests[i]), solo[i]);
    }
  }
}

TEST_P(Invariance, AfterPreemption) {
  std::vector<Request> requests = Requests(16);
  for (Request& request : requests) request.stopping.max_new_tokens = 60;
  const std::vector<Outcome> solo = Solo(requests, 16);
  // A pool of 1024 tokens for requests that want several times that.
  const size_t token_bytes = 2 * 2 * 64 * 6 * DTypeBytes(GetParam().dtype);
  const auto loaded = Load({.kv_cache_bytes = token_bytes * 1024, .block_tokens = 16});
  std::vector<std::unique_ptr<Call>> calls;
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].priority = static_cast<int32_t>(i % 3);
    calls.push_back(std::make_unique<Call>(loaded->engine(), requests[i]));
    if (i % 4 == 3) calls[i]->AwaitTokens(3);  // later ones find pages taken
  }
  EXPECT_GE(ExpectAllSame(calls, solo).preemptions, 3);
}

TEST_P(Invariance, FromACachedPrefixAlsoOfGeneratedTokens) {
  const std::vector<Request> requests = Requests(8);
  const std::vector<Outcome> solo = Solo(requests, 16);
  const auto loaded = Load({.block_tokens = 16});
  int64_t cached = 0;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      const Outcome outcome = testing::Run(loaded->engine(), requests[i]);
      ExpectSame(outcome, solo[i]);
      cached += outcome.sequences[0].finish->usage.cached_tokens;
    }
  }
  EXPECT_GE(cached, 400);

  // A prompt that goes on from what another request generated.
  Request longer = requests[3];
  const std::vector<TokenId>& output = solo[3].sequences[0].tokens;
  longer.prompt.insert(longer.prompt.end(), output.begin(), output.end());
  longer.prompt.push_back(5);
  const Outcome expected = Solo({longer}, 16)[0];
  const Outcome outcome = testing::Run(loaded->engine(), longer);
  ExpectSame(outcome, expected);
  const auto shared = outcome.sequences[0].finish->usage.cached_tokens;
  const auto prompt = static_cast<int64_t>(requests[3].prompt.size());
  EXPECT_GT(shared, GetParam().shares_generated ? prompt : prompt - 17);
  EXPECT_TRUE(GetParam().shares_generated || shared <= prompt) << shared << " of " << prompt;
}

// A window in all layers; full attention first, then windows (two KV groups); the same with sinks
// and experts; latent attention of both forms; a rotation that switches while the text grows; sinks
// of both kinds in front of a window that was asked for.
TEST_P(Invariance, OfEveryKindOfModel) {
  struct Kind {
    const char* name;
    size_t few_numbers;  // of the KV cache: so few that sequences are preempted
    AttentionSinkOptions sinks = {};
  };
  for (const auto& [name, few_numbers, sinks] :
       {Kind{"mistral", 48 << 10}, Kind{"qwen2", 48 << 10}, Kind{"gpt_oss", 48 << 10},
        Kind{"deepseek_v3", 24 << 10}, Kind{"quire_mla", 24 << 10},
        Kind{"llama_longrope", 24 << 10}, Kind{"llama3", 48 << 10, {.sinks = 4, .window = 40}},
        Kind{"llama_sinks", 24 << 10, {.window = 40}}}) {
    SCOPED_TRACE(name);
    sinks_ = sinks;
    model_ = SourcePath("tests/golden/models/") + name;
    std::vector<Request> requests;
    for (int i = 0; i < 24; ++i) {
      Request request;
      const int length = 3 + 37 * i % 120;
      for (int at = 0; at < length; ++at) {  // every third one begins alike
        request.prompt.push_back(3 + (at * at + 7 * at + (i % 3 == 0 ? 0 : i)) % 150);
      }
      request.stopping.max_new_tokens = 40;
      request.sampling.seed = i;
      request.num_sequences = i % 4 == 1 ? 3 : 1;
      request.top_logprobs = 5;
      requests.push_back(request);
    }
    const std::vector<Outcome> solo = Solo(requests, 16);
    // In small chunks; with few pages, then with enough that the second round finds the first's.
    const size_t few_bytes = few_numbers * DTypeBytes(GetParam().dtype);
    int64_t preemptions = 0;
    int64_t cached = 0;
    for (const size_t kv_cache_bytes : {few_bytes, 40 * few_bytes}) {
      const auto loaded = Load({.max_batch_tokens = 24,
                                .max_num_sequences = 16,
                                .kv_cache_bytes = kv_cache_bytes,
                                .block_tokens = 16});
      for (int round = 0; round < 2; ++round) {
        const LoadSeen seen = ExpectAllSame(SubmitAll(loaded->engine(), requests), solo);
        preemptions += seen.preemptions;
        cached += seen.cached_tokens;
      }
    }
    EXPECT_GE(preemptions, 3);
    EXPECT_GE(cached, 100);
  }
}

inline std::string InvarianceName(const ::testing::TestParamInfo<InvarianceOn>& info) {
  return info.param.name;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_INVARIANCE_SUITE_H_
