// The CUDA copy of pages, emulated.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "attention/cuda/copy_pages.cuh"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "kvcache/kv_layout.h"
#include "tests/attention/emulated_kv.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::testing::EmulatedArguments;

// Pages `gap` words apart, from word `first` of the memory on; each word is its own number.
struct Pool {
  Pool(const KvPageLayout& layout, int64_t num_blocks, int64_t first, int64_t gap)
      : page_words(static_cast<int64_t>(layout.page_bytes()) / 4),
        stride(page_words + gap),
        words(first + num_blocks * stride) {
    std::iota(words.begin(), words.end(), 0);
    view = {words.data() + first, stride * 4, num_blocks, layout};
  }

  absl::Status Copy(const std::vector<int32_t>& pairs, uint32_t seed) {
    EmulatedArguments memory;
    memory.Add(view, EmulatedArguments::State::kWritten);
    memory.Add("pairs", pairs.data(), static_cast<int64_t>(pairs.size()));
    EmulatedLauncher launcher({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
    cuda_emulated::LaunchCopyPages(launcher,
                                   {view, {pairs.data(), static_cast<int64_t>(pairs.size())}});
    return launcher.status();
  }

  int64_t page_words;
  int64_t stride;
  std::vector<uint32_t> words;
  PagedKvView view;
};

TEST(CudaCopyPages, PagesBecomeCopiesAndNothingElseChanges) {
  constexpr DType kBf16 = DType::kBFloat16;
  const KvPageLayout layouts[] = {
      {1, 2, 2, 2, kBf16},                // 4 words
      {1, 6, 0, 4, kBf16},                // latents, 12 words
      {3, 34, 10, 16, DType::kFloat32},   // 2112 words
      {4, 64, 64, 16, kBf16},             // what a block copies, just so
      {4, 66, 64, 16, kBf16},             // and a little more
      {2, 128, 128, 16, DType::kFloat32}  // twice as much
  };
  uint32_t seed = 0;
  for (const KvPageLayout& layout : layouts) {
    for (int64_t first : {0, 1}) {
      for (int64_t gap : {4, 6}) {
        Pool pool(layout, 6, first, gap);
        std::vector<uint32_t> want = pool.words;
        const std::vector<int32_t> pairs = {4, 1, 4, 5, 0, 2};
        for (size_t i = 0; i < pairs.size(); i += 2) {
          std::copy_n(pool.words.begin() + first + pairs[i] * pool.stride, pool.page_words,
                      want.begin() + first + pairs[i + 1] * pool.stride);
        }
        const absl::Status status = pool.Copy(pairs, seed++);
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(pool.words, want) << pool.page_words << " words, first " << first;
      }
    }
  }
}

TEST(CudaCopyPages, NoPairsAreNoWork) {
  Pool pool({1, 2, 2, 2, DType::kBFloat16}, 2, 0, 0);
  EXPECT_TRUE(pool.Copy({}, 0).ok());
}

TEST(CudaCopyPages, PagesThatDoNotExistAreABug) {
  Pool pool({1, 2, 2, 2, DType::kBFloat16}, 3, 0, 0);
  EXPECT_TRUE(pool.Copy({0, 2}, 0).ok());
  EXPECT_FALSE(pool.Copy({0, 3}, 0).ok());
  EXPECT_FALSE(pool.Copy({-1, 2}, 0).ok());
}

}  // namespace
}  // namespace quire
