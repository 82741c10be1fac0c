#include "kvcache/block_hash.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace quire {
namespace {

Hash128 FromBytes(const std::array<uint8_t, 16>& bytes) {
  Hash128 hash;
  std::memcpy(&hash, bytes.data(), bytes.size());
  return hash;
}

// The authors' vectors: key 00 01 .. 0f, messages 00 01 02 .. of growing length.
TEST(SipHash128, MeetsThePublishedVectors) {
  const HashKey key = FromBytes({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  const uint8_t message[] = {0};
  EXPECT_EQ(SipHash128(key, message, 0),
            FromBytes({0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7,
                       0x55, 0x02, 0x93}));
  EXPECT_EQ(SipHash128(key, message, 1),
            FromBytes({0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b,
                       0x22, 0xfc, 0x45}));
}

TEST(BlockHash, RootsKeepTenantsAndSaltsApart) {
  const HashKey key{1, 2};
  EXPECT_EQ(RootHash(key, "a", "b", ""), RootHash(key, "a", "b", ""));
  EXPECT_NE(RootHash(key, "ab", "c", ""), RootHash(key, "a", "bc", ""));
  EXPECT_NE(RootHash(key, "a", "b", ""), RootHash(key, "a", "", "b"));
  EXPECT_NE(RootHash(key, "a", "", ""), RootHash(key, "", "a", ""));
  EXPECT_NE(RootHash(key, "a", "b", ""), RootHash({1, 3}, "a", "b", ""));
}

TEST(BlockHash, DependsOnEveryTokenAndOnThePast) {
  const HashKey key{1, 2};
  const Hash128 root = RootHash(key, "", "", "");
  const std::vector<TokenId> tokens = {1, 2, 3, 4};
  const Hash128 hash = BlockHash(key, root, tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<TokenId> changed = tokens;
    ++changed[i];
    EXPECT_NE(BlockHash(key, root, changed), hash);
  }
  EXPECT_NE(BlockHash(key, hash, tokens), hash);
}

}  // namespace
}  // namespace quire
