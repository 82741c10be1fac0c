// Embeddings on the CUDA backend: a few in the emulation, all on a GPU.
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/embeddings.h"
#include "tests/testing/test_device.h"

namespace quire::testing {
namespace {

std::vector<EmbeddingCase> Cases() {
  std::vector<EmbeddingCase> cases;
  for (const char* model : {"bert", "modernbert", "qwen3_embedding", "xlm_roberta"}) {
    EmbeddingCase embedding{.model = model, .is_there = HasTestDevice};
    embedding.backend = {.device = "cuda", .gpu_memory_fraction = 0.2};
    if (TestDeviceIsEmulated()) {
      if (embedding.model == "xlm_roberta") continue;  // bert, but for the table of positions
      embedding.max_texts = 3;
      embedding.copies = 2;
    }
    cases.push_back(embedding);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cuda, EmbeddingGolden, ::testing::ValuesIn(Cases()), EmbeddingCaseName);

}  // namespace
}  // namespace quire::testing
