// Many short requests, of which some are cancelled or left by their clients: the engine ends with
// all blocks free and with no more memory than it began with. A program instantiates it for its
// backend.
#ifndef QUIRE_TESTS_ENGINE_SOAK_H_
#define QUIRE_TESTS_ENGINE_SOAK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <utility>

#include "core/steady_time.h"
#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/engine/invariance.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/source_path.h"

namespace quire::testing {

struct SoakCase {
  std::string model;
  int requests = 0;
  int pages = 20;  // for 16 sequences of 1 to 5
  BackendOptions backend;
  DType dtype = DType::kBFloat16;
  bool (*is_there)() = [] { return true; };  // whether the machine has what it runs on
  // What the device has given out, to anyone.
  size_t (*device_bytes)() = [] { return size_t{0}; };
};

inline void PrintTo(const SoakCase& soak, std::ostream* out) { *out << soak.model; }

class Soak : public ::testing::TestWithParam<SoakCase> {
 protected:
  static constexpr int kBlockTokens = 16;
  static constexpr size_t kLive = 24;  // requests at a time, for 16 slots

  // What becomes of a request.
  enum Fate { kRuns, kCancelledAtOnce, kCancelledLater, kLeft, kTooLate };
  struct Live {
    std::unique_ptr<Call> call;
    Fate fate;
    int64_t max_new_tokens;
  };
  struct Seen {
    int64_t ended = 0;
    int64_t cancelled = 0;
    int64_t late = 0;
    int64_t preemptions = 0;
    int64_t cached_tokens = 0;
  };

  void SetUp() override {
    if (!GetParam().is_there()) GTEST_SKIP() << "there is no device for it";
  }

  // Fewer pages than its sequences want.
  static std::unique_ptr<LoadedModel> Load() {
    LoadOptions options;
    options.model = SourcePath("tests/golden/models/") + GetParam().model;
    options.dtype = GetParam().dtype;
    options.backend = GetParam().backend;
    options.max_batch_tokens = 48;
    options.max_num_sequences = 16;
    options.block_tokens = kBlockTokens;
    options.kv_cache_bytes = size_t{4} << 20;
    const size_t token_bytes = LoadForTest(options)->kv_bytes_per_token();
    options.kv_cache_bytes = token_bytes * kBlockTokens * GetParam().pages;
    return LoadForTest(options);
  }

  size_t TakenBytes(const LoadedModel& model) const {
    size_t bytes = GetParam().device_bytes();
    for (const MemoryUse& use : model.memory_plan()) bytes += use.bytes;
    return bytes;
  }

  int64_t Below(int64_t end) { return static_cast<int64_t>(random_() % end); }

  Request RandomRequest() {
    Request request;
    const int64_t common = Below(3) == 0 ? 0 : 32;  // two thirds begin alike
    const int64_t length = 1 + Below(40);
    for (int64_t at = 0; at < length; ++at) {
      request.prompt.push_back(static_cast<TokenId>(3 + (at < common ? at : Below(150))));
    }
    request.stopping.max_new_tokens = 1 + Below(8);
    request.num_sequences = Below(8) == 0 ? 2 : 1;
    request.priority = static_cast<int32_t>(Below(3));
    request.sampling.seed = random_();
    request.sampling.temperature = Below(2) == 0 ? 0.0F : 1.0F;
    request.sampling.top_k = Below(4) == 0 ? 20 : 0;
    request.sampling.repetition_penalty = Below(8) == 0 ? 1.1F : 1.0F;
    if (Below(8) == 0) request.top_logprobs = 3;
    request.prompt_logprobs = Below(16) == 0;
    return request;
  }

  Live Submit(Engine& engine) {
    Request request = RandomRequest();
    const int64_t dice = Below(16);
    const Fate fate = dice < 2    ? kCancelledAtOnce
                      : dice < 4  ? kCancelledLater
                      : dice == 4 ? kLeft
                      : dice == 5 ? kTooLate
                                  : kRuns;
    if (fate == kTooLate) request.deadline = SteadyNow() - absl::Seconds(1);
    if (fate == kCancelledLater) request.stopping.max_new_tokens = 40;
    Live live{nullptr, fate, *request.stopping.max_new_tokens};
    live.call = std::make_unique<Call>(engine, std::move(request));
    if (fate == kCancelledAtOnce || fate == kLeft) live.call->Cancel();
    return live;
  }

  void End(const Live& live, Seen& seen) {
    if (live.fate == kLeft) return;  // nobody reads its events
    if (live.fate == kCancelledLater) {
      live.call->AwaitTokens(1);
      live.call->Cancel();
    }
    for (const auto& sequence : live.call->AwaitEnd().sequences) {
      const Finish& finish = *sequence.finish;
      seen.preemptions += finish.usage.preemptions;
      seen.cached_tokens += finish.usage.cached_tokens;
      if (finish.reason == FinishReason::kCancelled) {
        EXPECT_TRUE(live.fate == kCancelledAtOnce || live.fate == kCancelledLater);
        ++seen.cancelled;
      } else if (live.fate == kTooLate) {
        EXPECT_EQ(finish.status.code(), absl::StatusCode::kDeadlineExceeded);
        ++seen.late;
      } else {
        EXPECT_EQ(finish.reason, FinishReason::kMaxTokens) << finish.status;
        EXPECT_EQ(static_cast<int64_t>(sequence.tokens.size()), live.max_new_tokens);
        ++seen.ended;
      }
    }
  }

  Seen Run(Engine& engine, int requests) {
    Seen seen;
    std::deque<Live> live;
    for (int i = 0; i < requests && !HasFailure(); ++i) {
      live.push_back(Submit(engine));
      if (live.size() < kLive) continue;
      End(live.front(), seen);
      live.pop_front();
    }
    for (const Live& one : live) End(one, seen);
    return seen;
  }

  static void ExpectAllFree(Engine& engine) {
    ASSERT_TRUE(engine.AwaitIdle(SteadyNow() + absl::Seconds(60)));
    const EngineStats stats = engine.stats();
    EXPECT_EQ(stats.scheduler.running + stats.scheduler.waiting + stats.scheduler.preempted +
                  stats.scheduler.paused,
              0);
    for (const KvGroupStats& group : stats.kv) {
      EXPECT_EQ(group.referenced, 0);
      EXPECT_EQ(group.free + group.cached, group.num_blocks);
    }
  }

  std::mt19937_64 random_{1};
};

TEST_P(Soak, EndsWithAllBlocksFreeAndNoMoreMemory) {
  const auto loaded = Load();
  Engine& engine = loaded->engine();
  Request asked_twice = RandomRequest();
  asked_twice.stopping.max_new_tokens = 8;
  asked_twice.top_logprobs = 5;
  asked_twice.prompt_logprobs = true;
  const Outcome before = testing::Run(engine, asked_twice);
  // What is loaded or chosen when it is first used is there from here on.
  Run(engine, GetParam().requests / 10);
  ExpectAllFree(engine);
  const size_t taken = TakenBytes(*loaded);

  const Seen seen = Run(engine, GetParam().requests);
  ExpectAllFree(engine);
  EXPECT_EQ(TakenBytes(*loaded), taken);
  ExpectSame(testing::Run(engine, asked_twice), before);
  RecordProperty("ended", std::to_string(seen.ended));
  RecordProperty("cancelled", std::to_string(seen.cancelled));
  RecordProperty("preemptions", std::to_string(seen.preemptions));
  RecordProperty("cached_tokens", std::to_string(seen.cached_tokens));
  // It was what it is called.
  EXPECT_GE(seen.ended, GetParam().requests / 3);
  EXPECT_GE(seen.cancelled, GetParam().requests / 20);
  EXPECT_GE(seen.late, GetParam().requests / 40);
  EXPECT_GE(seen.preemptions, GetParam().requests / 1000);
  EXPECT_GE(seen.cached_tokens, GetParam().requests);
}

inline std::string SoakName(const ::testing::TestParamInfo<SoakCase>& info) {
  return info.param.model;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_SOAK_H_
