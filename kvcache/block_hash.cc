#include "kvcache/block_hash.h"

#include <bit>
#include <cstring>
#include <string>

namespace quire {
namespace {

// The four words of SipHash's state, fed 8 bytes at a time.
class SipState {
 public:
  explicit SipState(const HashKey& key)
      : v0_(0x736f6d6570736575ULL ^ key.low),
        v1_(0x646f72616e646f6dULL ^ key.high ^ 0xee),  // 0xee: the 128-bit variant
        v2_(0x6c7967656e657261ULL ^ key.low),
        v3_(0x7465646279746573ULL ^ key.high) {}

  void Absorb(uint64_t word) {
    v3_ ^= word;
    Rounds(2);
    v0_ ^= word;
  }

  Hash128 Finish() {
    Hash128 hash;
    v2_ ^= 0xee;
    Rounds(4);
    hash.low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    Rounds(4);
    hash.high = v0_ ^ v1_ ^ v2_ ^ v3_;
    return hash;
  }

 private:
  void Rounds(int count) {
    for (int round = 0; round < count; ++round) {
      v0_ += v1_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v3_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  uint64_t v0_, v1_, v2_, v3_;
};

uint64_t LoadWord(const unsigned char* data, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, data, bytes);  // little-endian hosts only, as all we run on
  return word;
}

}  // namespace

Hash128 SipHash128(const HashKey& key, const void* data, size_t bytes) {
  static_assert(std::endian::native == std::endian::little);
  const auto* in = static_cast<const unsigned char*>(data);
  SipState state(key);
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) state.Absorb(LoadWord(in + at, 8));
  state.Absorb(LoadWord(in + at, bytes - at) | (uint64_t{bytes} << 56));
  return state.Finish();
}

Hash128 RootHash(const HashKey& key, absl::string_view tenant, absl::string_view cache_salt,
                 absl::string_view rope) {
  std::string framed;
  for (absl::string_view part : {tenant, cache_salt, rope}) {
    const uint64_t length = part.size();
    framed.append(reinterpret_cast<const char*>(&length), sizeof(length));
    framed.append(part.data(), part.size());
  }
  return SipHash128(key, framed.data(), framed.size());
}

Hash128 BlockHash(const HashKey& key, const Hash128& parent, absl::Span<const TokenId> tokens) {
  SipState state(key);
  state.Absorb(parent.low);
  state.Absorb(parent.high);
  const auto* in = reinterpret_cast<const unsigned char*>(tokens.data());
  const size_t bytes = tokens.size() * sizeof(TokenId);
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) state.Absorb(LoadWord(in + at, 8));
  state.Absorb(LoadWord(in + at, bytes - at) | (uint64_t{bytes} << 56));
  return state.Finish();
}

}  // namespace quire
