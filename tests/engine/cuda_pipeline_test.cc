// Batches that overlap and steps that are recorded: what the engine on a CUDA device does besides
// computing, over the emulation. That the bits don't change is for cuda_invariance_test.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "engine/cuda/decode_graphs.h"
#include "engine/cuda/padded_batch.h"
#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/engine/emulated_backend.h"
#include "tests/engine/invariance.h"
#include "tests/testing/engine_client.h"

namespace quire {
namespace {

constexpr int kBlockTokens = 16;

std::unique_ptr<LoadedModel> Load(const char* model = "llama3") {
  LoadOptions options;
  options.model = std::string(QUIRE_SOURCE_DIR "/tests/golden/models/") + model;
  options.backend.threads = 1;
  options.max_batch_tokens = 64;
  options.max_num_sequences = 5;
  options.kv_cache_bytes = size_t{4} << 20;
  options.block_tokens = kBlockTokens;
  return testing::LoadForTest(options);
}

Request MakeRequest(int64_t max_new_tokens, int num_sequences = 1) {
  Request request;
  for (int i = 0; i < 20; ++i) request.prompt.push_back(3 + i * i % 150);
  request.stopping.max_new_tokens = max_new_tokens;
  request.stopping.min_new_tokens = max_new_tokens;
  request.num_sequences = num_sequences;
  request.sampling.temperature = 0.0F;
  return request;
}

TEST(DecodeGraphRows, GrowWithTheirNumberAndEndWithTheMost) {
  EXPECT_EQ(DecodeGraphRows(0), std::vector<int64_t>());
  EXPECT_EQ(DecodeGraphRows(1), std::vector<int64_t>{1});
  EXPECT_EQ(DecodeGraphRows(5), (std::vector<int64_t>{1, 2, 4, 5}));
  const std::vector<int64_t> rows = DecodeGraphRows(300);
  EXPECT_EQ(rows.back(), 300);
  EXPECT_LE(rows.size(), 40U);
  for (size_t i = 1; i < rows.size(); ++i) {
    EXPECT_GT(rows[i], rows[i - 1]);
    EXPECT_LE(rows[i], std::max(rows[i - 1] + 8, rows[i - 1] * 5 / 4)) << i;
  }
}

TEST(PaddedBatch, PaddingFollowsTheBatchInABlockOfItsOwn) {
  BatchLimits limits{.rows = 8, .entries = 8, .context = 100, .block_tokens = 16};
  limits.groups = {{.decode_blocks = 7, .padding_block = 9},
                   {.decode_blocks = 3, .prefix_blocks = 1, .padding_block = 30}};
  PaddedBatch padding(limits);
  const std::vector<int32_t> ids = {5, 6}, starts = {0, 1, 2}, lengths = {17, 3}, at = {16, 2},
                             tables = {0, 2, 3}, zeros = {0, 0}, blocks = {4, 1, 2},
                             prefix_starts = {0, 1, 2}, prefix = {7, 8};
  const std::vector<int64_t> slots = {16, 34};
  const auto view = [](const auto& values) {
    return DeviceArray<const typename std::decay_t<decltype(values)>::value_type>{
        values.data(), static_cast<int64_t>(values.size())};
  };
  ModelBatch batch;
  batch.num_rows = batch.num_generated_rows = 2;
  batch.token_ids = view(ids);
  batch.query_start = view(starts);
  batch.groups.resize(2);
  for (AttentionBatch& group : batch.groups) {
    group = {.query_start = view(starts),
             .kv_len = view(lengths),
             .positions = view(at),
             .slots = view(slots),
             .table_start = view(tables),
             .first_block = view(zeros),
             .blocks = view(blocks)};
  }
  batch.groups[1].prefix_start = view(prefix_starts);
  batch.groups[1].prefix_blocks = view(prefix);
  const auto values = [](auto array) {
    return std::vector<int64_t>(array.data, array.data + array.size);
  };
  using Numbers = std::vector<int64_t>;
  const ModelBatch& padded = padding.Pad(batch, 4);
  EXPECT_EQ(padded.num_rows, 4);
  EXPECT_EQ(values(padded.token_ids), (Numbers{5, 6, 0, 0}));
  EXPECT_EQ(values(padded.query_start), (Numbers{0, 1, 2, 3, 4}));
  EXPECT_EQ(values(padded.groups[0].kv_len), (Numbers{17, 3, 1, 1}));
  EXPECT_EQ(values(padded.groups[0].positions), (Numbers{16, 2, 0, 0}));
  EXPECT_EQ(values(padded.groups[0].slots), (Numbers{16, 34, 9 * 16, 9 * 16}));
  EXPECT_EQ(values(padded.groups[0].table_start), (Numbers{0, 2, 3, 4, 5}));
  EXPECT_EQ(values(padded.groups[0].blocks), (Numbers{4, 1, 2, 9, 9}));
  EXPECT_EQ(values(padded.groups[0].prefix_blocks), Numbers());
  EXPECT_EQ(values(padded.groups[1].slots), (Numbers{16, 34, 30 * 16, 30 * 16}));
  EXPECT_EQ(values(padded.groups[1].prefix_start), (Numbers{0, 1, 2, 3, 4}));
  EXPECT_EQ(values(padded.groups[1].prefix_blocks), (Numbers{7, 8, 30, 30}));
  const ModelBatch& all_padding = padding.Pad(ModelBatch(), 3);
  EXPECT_EQ(values(all_padding.groups[0].table_start), (Numbers{0, 1, 2, 3}));
  EXPECT_EQ(values(all_padding.groups[1].blocks), (Numbers{30, 30, 30}));
}

// But for the steps of prompts.
TEST(CudaPipeline, DecodeStepsAreOneGraphEach) {
  const auto loaded = Load();
  EXPECT_EQ(loaded->executor().find("4 decode graphs of up to 5 rows"), 0U) << loaded->executor();
  const int64_t before = testing::latest_emulated_queue.load()->graph_runs();
  testing::Run(loaded->engine(), MakeRequest(9));
  EXPECT_EQ(testing::latest_emulated_queue.load()->graph_runs() - before, 8);
  testing::Run(loaded->engine(), MakeRequest(9, /*num_sequences=*/3));
  EXPECT_EQ(testing::latest_emulated_queue.load()->graph_runs() - before, 16);
}

// A step is packed before the token before is known to the host.
TEST(CudaPipeline, APenaltyCountsTheLastToken) {
  const auto loaded = Load();
  Request request = MakeRequest(30);
  request.sampling.temperature = 1.0F;
  const auto distinct = [&] {
    const std::vector<TokenId> tokens = testing::Run(loaded->engine(), request).sequences[0].tokens;
    return std::set<TokenId>(tokens.begin(), tokens.end()).size();
  };
  request.sampling.logit_bias = {{7, 60.0F}, {8, 60.0F}};  // one of two, again and again
  EXPECT_LE(distinct(), 2U);
  request.sampling.logit_bias.clear();
  for (TokenId id = 10; id < 40; ++id) request.sampling.logit_bias.emplace_back(id, 60.0F);
  request.sampling.frequency_penalty = 90.0F;
  EXPECT_EQ(distinct(), 30U);
}

// Two steps at most are on their way when a request is cancelled.
TEST(CudaPipeline, CancelledRequestsLeaveNothing) {
  const auto loaded = Load("gemma2");
  const KvGroupStats empty = loaded->engine().stats().kv[0];
  std::vector<std::unique_ptr<testing::Call>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(std::make_unique<testing::Call>(loaded->engine(), MakeRequest(200)));
  }
  for (auto& call : calls) call->AwaitTokens(1 + calls.size() % 3);
  for (auto& call : calls) call->Cancel();
  for (auto& call : calls) {
    EXPECT_EQ(call->AwaitEnd().sequences[0].finish->reason, FinishReason::kCancelled);
  }
  const KvGroupStats after = loaded->engine().stats().kv[0];
  EXPECT_EQ(after.referenced, 0);
  EXPECT_EQ(after.free + after.cached, empty.free);
}

}  // namespace
}  // namespace quire
