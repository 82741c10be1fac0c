// Embeddings on the CUDA backend, whose kernels the emulation runs.
#include "gtest/gtest.h"
#include "tests/engine/embeddings.h"

namespace quire::testing {
namespace {

EmbeddingCase Case(const char* model) { return {.model = model, .max_texts = 3, .copies = 2}; }

INSTANTIATE_TEST_SUITE_P(Cuda, EmbeddingGolden,
                         ::testing::Values(Case("bert"), Case("modernbert"),
                                           Case("qwen3_embedding")),
                         EmbeddingCaseName);

}  // namespace
}  // namespace quire::testing
