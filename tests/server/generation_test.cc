#include "server/generation.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>

#include "core/steady_time.h"
#include "engine/load_model.h"

namespace quire {
namespace {

class GenerationTest : public testing::Test {
 protected:
  void SetUp() override {
    LoadOptions options;
    options.model = QUIRE_SOURCE_DIR "/tests/golden/models/qwen3";
    options.kv_cache_bytes = size_t{4} << 20;
    auto loaded = LoadedModel::Load(options, nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = *std::move(loaded);
    services_.model = model_.get();
  }

  static v1::GenerateRequest Scored() {
    v1::GenerateRequest wire;
    wire.set_request_id("it");
    for (uint32_t i = 3; i < 40; ++i) wire.mutable_token_ids()->add_ids(i);
    wire.mutable_stopping()->set_max_new_tokens(3);
    wire.mutable_stopping()->set_ignore_eos(true);
    wire.mutable_response()->set_prompt_logprobs(true);
    wire.mutable_response()->set_text(false);
    return wire;
  }

  Services services_{absl::Seconds(30)};
  std::unique_ptr<LoadedModel> model_;  // after what its engine's thread uses
};

// on_ready is called only when the stream was empty: who stops taking before it is misses the rest.
TEST_F(GenerationTest, TakeGivesNothingOnlyWhenNothingWaits) {
  std::promise<Generation*> made;
  std::shared_future<Generation*> generation = made.get_future().share();
  bool took_prompt = false;
  const auto on_ready = [&, generation] {  // the prompt's event waits, and nothing else yet
    if (took_prompt) return;
    took_prompt = true;
    EXPECT_TRUE(generation.get()->Take().at(0).has_started());
    EXPECT_TRUE(generation.get()->Take().at(0).has_prompt());
  };
  auto started = Generation::Start(services_, Scored(), absl::InfiniteFuture(), on_ready);
  ASSERT_TRUE(started.ok()) << started.status();
  made.set_value(started->get());
  ASSERT_TRUE(services_.engine().AwaitIdle(SteadyNow() + absl::Seconds(60)));
  while (!(*started)->ended()) ASSERT_FALSE((*started)->Take().empty());
  EXPECT_TRUE((*started)->status().ok());
}

TEST_F(GenerationTest, AnIdIsFreeOnceTheLastEventHasBeenTaken) {
  auto started = Generation::Start(services_, Scored(), absl::InfiniteFuture(), [] {});
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(Generation::Start(services_, Scored(), absl::InfiniteFuture(), [] {}).status().code(),
            absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(services_.engine().AwaitIdle(SteadyNow() + absl::Seconds(60)));
  while (!(*started)->ended()) (*started)->Take();
  EXPECT_FALSE(services_.live_requests.Abort("", "it").was_live);
  const auto again = Generation::Start(services_, Scored(), absl::InfiniteFuture(), [] {});
  EXPECT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(services_.live_requests.AwaitNone(SteadyNow())) << "both objects live";
  (*again)->Cancel();
}

}  // namespace
}  // namespace quire
