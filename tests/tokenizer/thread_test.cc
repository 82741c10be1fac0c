#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

TEST(ThreadTest, ThreadsThatShareATokenizerGetTheSameTokens) {
  const std::string text =
      ReadFileOrDie(QUIRE_SOURCE_DIR "/models/fairytale/heldout.txt").substr(0, 20'000);
  for (const char* family : {"qwen2", "llama3", "mistral", "bert", "xlm_r"}) {
    const auto shared = LoadGolden(family);  // nothing is known of its words yet
    const auto expected = LoadGolden(family)->Encode(text, true);
    const std::string decoded = LoadGolden(family)->Decode(*expected, true);
    const auto run = [&] {
      const auto ids = shared->Encode(text, true);
      EXPECT_TRUE(ids.ok() && *ids == *expected);
      EXPECT_EQ(shared->Decode(*ids, true), decoded);
    };
    std::vector<std::thread> threads(4);
    for (std::thread& thread : threads) thread = std::thread(run);
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace quire
