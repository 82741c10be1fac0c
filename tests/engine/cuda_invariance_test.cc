// The same request gives the same tokens and bit-equal log-probabilities, whatever the load, on the
// CUDA backend, on a GPU or in the emulation. There a prompt's rows and generated ones have kernels
// of their own, so that it matters which of them computed what is found in the cache.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/engine/invariance.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/source_path.h"
#include "tests/testing/test_device.h"

namespace quire {
namespace {

constexpr int kBlockTokens = 16;

struct Kind {
  const char* model;
  DType dtype = DType::kBFloat16;
  AttentionSinkOptions sinks = {};
};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.model << " in " << DTypeName(kind.dtype) << ", window " << kind.sinks.window;
}

class CudaInvariance : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { QUIRE_SKIP_WITHOUT_TEST_DEVICE(); }

  static std::unique_ptr<LoadedModel> Load(int64_t max_batch_tokens, size_t kv_cache_bytes) {
    LoadOptions options;
    options.model = testing::SourcePath("tests/golden/models/") + GetParam().model;
    options.dtype = GetParam().dtype;
    options.sinks = GetParam().sinks;
    options.backend = {.device = "cuda", .threads = 1, .gpu_memory_fraction = 0.4};
    options.max_batch_tokens = max_batch_tokens;
    options.max_num_sequences = 5;
    options.kv_cache_bytes = kv_cache_bytes;
    options.block_tokens = kBlockTokens;
    return testing::LoadForTest(options);
  }

  // The first one's answer ends a page that its prompt began.
  static std::vector<Request> Requests() {
    std::vector<Request> requests;
    for (const int length : {29, 3, 21}) {
      const auto i = static_cast<int>(requests.size());
      Request request;
      for (int at = 0; at < length; ++at) {
        request.prompt.push_back(3 + (at * at + 7 * at + (i % 2 == 0 ? 0 : i)) % 150);
      }
      request.stopping.max_new_tokens = 6;
      request.stopping.min_new_tokens = 6;
      request.sampling.seed = i;
      request.sampling.temperature = i == 0 ? 0.0F : 1.0F;
      request.num_sequences = i == 1 ? 2 : 1;
      request.priority = i / 2;
      request.top_logprobs = 5;
      requests.push_back(request);
    }
    return requests;
  }

  static constexpr size_t kManyBytes = size_t{4} << 20;
};

// The first half has begun to generate when the prompts of the others come.
std::vector<std::unique_ptr<testing::Call>> SubmitInTwoHalves(
    Engine& engine, const std::vector<Request>& requests) {
  std::vector<std::unique_ptr<testing::Call>> calls;
  for (size_t i = 0; i < requests.size(); ++i) {
    calls.push_back(std::make_unique<testing::Call>(engine, requests[i]));
    if (i + 1 == requests.size() / 2) calls.front()->AwaitTokens(2);
  }
  return calls;
}

TEST_P(CudaInvariance, TheLoadChangesNoBit) {
  std::vector<Request> requests = Requests();
  std::vector<testing::Outcome> solo;
  size_t few_bytes = 0;
  {
    const auto loaded = Load(64, kManyBytes);
    solo = testing::RunAlone(loaded->engine(), requests);
    // One that goes on from what another generated.
    Request longer = requests[0];
    const std::vector<TokenId>& output = solo[0].sequences[0].tokens;
    longer.prompt.insert(longer.prompt.end(), output.begin(), output.end());
    longer.prompt.push_back(5);
    longer.priority = 1;
    requests.push_back(longer);
    solo.push_back(testing::RunAlone(loaded->engine(), {longer})[0]);
    // One is for rows of padding. Learned sinks have a page of their own.
    const int pages = loaded->config().sink_tokens > 0 ? 7 : 6;
    few_bytes = loaded->kv_bytes_per_token() * kBlockTokens * pages;
  }
  for (const int64_t steps : {64, 13}) {
    SCOPED_TRACE(steps);
    const auto loaded = Load(steps, kManyBytes);
    testing::ExpectAllSame(SubmitInTwoHalves(loaded->engine(), requests), solo);
    if (steps != 13) continue;
    const testing::LoadSeen seen =
        testing::ExpectAllSame(testing::SubmitAll(loaded->engine(), requests), solo);
    EXPECT_GE(seen.cached_tokens, 32);
  }
  const auto loaded = Load(5, few_bytes);
  const testing::LoadSeen seen =
      testing::ExpectAllSame(SubmitInTwoHalves(loaded->engine(), requests), solo);
  EXPECT_GE(seen.preemptions, 1);
}

std::string Name(const ::testing::TestParamInfo<Kind>& info) {
  return std::string(info.param.model) + "_" + std::string(DTypeName(info.param.dtype)) +
         (info.param.sinks.window > 0 ? "_streamed" : "");
}

INSTANTIATE_TEST_SUITE_P(
    , CudaInvariance,
    ::testing::Values(Kind{"gemma2"}, Kind{"deepseek_v3"}, Kind{"gpt_oss", DType::kFloat32},
                      Kind{"llama3", DType::kBFloat16, {.sinks = 4, .window = 20}},
                      Kind{"llama_sinks"}),
    Name);

}  // namespace
}  // namespace quire
