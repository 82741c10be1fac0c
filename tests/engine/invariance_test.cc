// The same request gives the same tokens and bit-equal log-probabilities, whatever the load: alone,
// among 63 others, in chunks of any size, after preemption, from a cached prefix, on any number of
// threads. On the demo checkpoint and on small random ones with sliding windows, through the real
// engine and kernels.
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/engine/invariance.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/golden.h"

namespace quire {
namespace {

const char kModel[] = QUIRE_SOURCE_DIR "/models/fairytale";

struct EngineSetup {
  int64_t max_batch_tokens = 512;
  int max_num_sequences = 64;
  size_t kv_cache_bytes = size_t{64} << 20;
  int block_tokens = 64;
  int threads = 2;
};

class Invariance : public ::testing::TestWithParam<std::tuple<DType, CpuIsa>> {
 protected:
  std::unique_ptr<LoadedModel> Load(const EngineSetup& setup) {
    LoadOptions options;
    options.model = model_;
    options.dtype = std::get<0>(GetParam());
    options.backend.cpu_isa = std::string(CpuIsaName(std::get<1>(GetParam())));
    options.backend.threads = setup.threads;
    options.max_batch_tokens = setup.max_batch_tokens;
    options.max_num_sequences = setup.max_num_sequences;
    options.kv_cache_bytes = setup.kv_cache_bytes;
    options.block_tokens = setup.block_tokens;
    options.sinks = sinks_;
    return testing::LoadForTest(options);
  }

  // Requests of mixed lengths and ways of drawing.
  static std::vector<Request> Requests(size_t count) {
    const auto prompts = testing::ReadGolden(kModel).prompts;
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

  std::vector<testing::Outcome> Solo(const std::vector<Request>& requests, int block_tokens = 64) {
    return testing::RunAlone(Load({.block_tokens = block_tokens})->engine(), requests);
  }

  std::string model_ = kModel;
  AttentionSinkOptions sinks_;
};

TEST_P(Invariance, AmongSixtyThreeOthers) {
  const std::vector<Request> requests = Requests(64);
  const std::vector<testing::Outcome> solo = Solo(requests);
  const auto loaded = Load({});
  testing::ExpectAllSame(testing::SubmitAll(loaded->engine(), requests), solo);
}

TEST_P(Invariance, InChunksOfAnySizeAndOnAnyThreads) {
  const std::vector<Request> requests = Requests(8);
  const std::vector<testing::Outcome> solo = Solo(requests);
  for (const EngineSetup& setup :
       {EngineSetup{.max_batch_tokens = 5, .max_num_sequences = 4},
        EngineSetup{.max_batch_tokens = 37, .max_num_sequences = 4, .threads = 1},
        EngineSetup{.max_batch_tokens = 64, .threads = 3}}) {
    SCOPED_TRACE(setup.max_batch_tokens);
    const auto loaded = Load(setup);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      testing::ExpectSame(testing::Run(loaded->engine(), requests[i]), solo[i]);
    }
  }
}

TEST_P(Invariance, AfterPreemption) {
  std::vector<Request> requests = Requests(16);
  for (Request& request : requests) request.stopping.max_new_tokens = 60;
  const std::vector<testing::Outcome> solo = Solo(requests, 16);
  // A pool of 1024 tokens for requests that want several times that.
  const size_t token_bytes = 2 * 2 * 64 * 6 * DTypeBytes(std::get<0>(GetParam()));
  const auto loaded = Load({.kv_cache_bytes = token_bytes * 1024, .block_tokens = 16});
  std::vector<std::unique_ptr<testing::Call>> calls;
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].priority = static_cast<int32_t>(i % 3);
    calls.push_back(std::make_unique<testing::Call>(loaded->engine(), requests[i]));
    if (i % 4 == 3) calls[i]->AwaitTokens(3);  // later ones find pages taken
  }
  EXPECT_GE(testing::ExpectAllSame(calls, solo).preemptions, 3);
}

TEST_P(Invariance, FromACachedPrefixAlsoOfGeneratedTokens) {
  const std::vector<Request> requests = Requests(8);
  const std::vector<testing::Outcome> solo = Solo(requests, 16);
  const auto loaded = Load({.block_tokens = 16});
  int64_t cached = 0;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      const testing::Outcome outcome = testing::Run(loaded->engine(), requests[i]);
      testing::ExpectSame(outcome, solo[i]);
      cached += outcome.sequences[0].finish->usage.cached_tokens;
    }
  }
  EXPECT_GE(cached, 400);

  // A prompt that goes on from what another request generated.
  Request longer = requests[3];
  const std::vector<TokenId>& output = solo[3].sequences[0].tokens;
  longer.prompt.insert(longer.prompt.end(), output.begin(), output.end());
  longer.prompt.push_back(5);
  const testing::Outcome expected = Solo({longer}, 16)[0];
  const testing::Outcome outcome = testing::Run(loaded->engine(), longer);
  testing::ExpectSame(outcome, expected);
  EXPECT_GT(outcome.sequences[0].finish->usage.cached_tokens,
            static_cast<int64_t>(requests[3].prompt.size()));
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
    model_ = std::string(QUIRE_SOURCE_DIR "/tests/golden/models/") + name;
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
    const std::vector<testing::Outcome> solo = Solo(requests, 16);
    // In small chunks; with few pages, then with enough that the second round finds the first's.
    const size_t few_bytes = few_numbers * DTypeBytes(std::get<0>(GetParam()));
    int64_t preemptions = 0;
    int64_t cached = 0;
    for (const size_t kv_cache_bytes : {few_bytes, 40 * few_bytes}) {
      const auto loaded = Load({.max_batch_tokens = 24,
                                .max_num_sequences = 16,
                                .kv_cache_bytes = kv_cache_bytes,
                                .block_tokens = 16});
      for (int round = 0; round < 2; ++round) {
        const testing::LoadSeen seen =
            testing::ExpectAllSame(testing::SubmitAll(loaded->engine(), requests), solo);
        preemptions += seen.preemptions;
        cached += seen.cached_tokens;
      }
    }
    EXPECT_GE(preemptions, 3);
    EXPECT_GE(cached, 100);
  }
}

std::string Name(const ::testing::TestParamInfo<std::tuple<DType, CpuIsa>>& info) {
  return std::string(DTypeName(std::get<0>(info.param))) + "_" +
         std::string(CpuIsaName(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(, Invariance,
                         ::testing::Combine(::testing::Values(DType::kBFloat16, DType::kFloat32),
                                            ::testing::ValuesIn(AvailableCpuIsas())),
                         Name);

}  // namespace
}  // namespace quire
