// The arithmetic of sampling, to the bit: fp32 steps in a stated order, then integers, whose sums
// do not depend on their order. constexpr, so that kernels of devices can call it too; there a
// product whose sum comes next is kept from fusing with it (ExpWeight).
#ifndef QUIRE_OPS_SAMPLING_MATH_H_
#define QUIRE_OPS_SAMPLING_MATH_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace quire {

// The weight of the likeliest token.
inline constexpr uint64_t kUnitWeight = uint64_t{1} << 40;
inline constexpr float kLog2E = 1.44269504088896340736F;

// floor(2^40 * 2^t) for t <= 0, with 2^t of its fractional part by one polynomial; 0 from t = -41
// on. The steps: n = floor(t); f = t - n in [0, 1); p = Horner by fma from the highest coefficient
// down (minimax for 2^f on [0, 1], relative error 1.5e-7), in [1, 2]; its 24-bit significand,
// shifted.
constexpr uint64_t Exp2Weight(float t) {
  if (!(t > -41.0F)) return 0;
  const float n = std::floor(t);
  const float f = t - n;
  float p = 1.86713005e-3F;
  p = std::fma(p, f, 9.01703071e-3F);
  p = std::fma(p, f, 5.57999127e-2F);
  p = std::fma(p, f, 2.40164444e-1F);
  p = std::fma(p, f, 6.93151295e-1F);
  p = std::fma(p, f, 1.0F);
  const uint64_t significand = static_cast<uint32_t>(p * 8388608.0F);  // p * 2^23, exact
  return (significand << 17) >> static_cast<int>(-n);
}

// The scale of a temperature: t = (y - max) * TemperatureScale(T). It stays finite, so that t of
// the greatest y is 0 and no NaN: a T below 4.3e-39 acts as 4.3e-39, where a token 2e-37 below the
// greatest has no weight any more.
constexpr float TemperatureScale(float temperature) {
  return std::min(kLog2E / temperature, std::numeric_limits<float>::max());
}

// floor(2^40 * exp((y - max) / T)), scale = TemperatureScale(T).
constexpr uint64_t ExpWeight(float y, float max, float scale) {
  return Exp2Weight((y - max) * scale);
}

// The least weight that min_p keeps: the first integer >= min_p * 2^40, a product that is exact.
constexpr uint64_t MinWeight(float min_p) {
  return static_cast<uint64_t>(
      std::ceil(static_cast<double>(min_p) * static_cast<double>(kUnitWeight)));
}

// The least sum of weights that reaches top_p of `total`; at least 1 where total is.
constexpr uint64_t TopPTarget(float top_p, uint64_t total) {
  const auto share = static_cast<uint64_t>(static_cast<double>(top_p) * 4294967296.0);  // of 2^32
  const auto product = static_cast<unsigned __int128>(total) * share;
  const auto target = static_cast<uint64_t>((product + 0xffffffffU) >> 32);
  return std::max<uint64_t>(target, 1);
}

// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).
constexpr std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter,
                                         std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53U} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

// 64 random bits that depend on nothing but these three.
constexpr uint64_t RandomBits(uint64_t seed, uint32_t sequence_index, uint64_t output_position) {
  const std::array<uint32_t, 4> bits =
      Philox({static_cast<uint32_t>(output_position), static_cast<uint32_t>(output_position >> 32),
              sequence_index, 0},
             {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return bits[0] | uint64_t{bits[1]} << 32;
}

// A share of `total` in [0, total): the draw picks the first id whose running sum exceeds it.
constexpr uint64_t ShareOf(uint64_t total, uint64_t random_bits) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(total) * random_bits) >> 64);
}

}  // namespace quire

#endif  // QUIRE_OPS_SAMPLING_MATH_H_
