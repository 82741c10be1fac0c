#include "kvcache/kv_layout.h"

#include <set>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(KvPageLayout, EveryElementHasItsOwnPlaceAndThePageIsFull) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    const KvPageLayout layout{
        .num_kv_heads = 3, .head_dim = 10, .value_dim = 6, .block_tokens = 16, .dtype = dtype};
    std::set<int64_t> offsets;
    for (int head = 0; head < 3; ++head) {
      for (int token = 0; token < 16; ++token) {
        for (int d = 0; d < 10; ++d) offsets.insert(layout.KeyOffset(head, token, d));
        for (int d = 0; d < 6; ++d) offsets.insert(layout.ValueOffset(head, token, d));
      }
    }
    EXPECT_EQ(static_cast<int64_t>(offsets.size()), layout.page_elements());
    EXPECT_EQ(*offsets.begin(), 0);
    EXPECT_EQ(*offsets.rbegin(), layout.page_elements() - 1);
  }
}

}  // namespace
}  // namespace quire
