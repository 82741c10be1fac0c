// The types of numbers, in a form that kernels can include: nothing but the language.
#ifndef QUIRE_CORE_NUMBER_TYPES_H_
#define QUIRE_CORE_NUMBER_TYPES_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace quire {

enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16 };

constexpr size_t DTypeBytes(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

// A bfloat16 number in its storage form: the upper half of the fp32 with the same value.
struct bf16 {
  uint16_t bits = 0;
};

constexpr float ToFloat(bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
constexpr float ToFloat(float x) { return x; }

// Rounds to nearest, ties to even; NaN stays NaN.
constexpr bf16 ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) {
    return bf16{static_cast<uint16_t>((bits >> 16) | 0x40U)};
  }
  return bf16{static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

template <typename T>
constexpr T FromFloat(float x) {
  if constexpr (sizeof(T) == 2) {
    return ToBf16(x);
  } else {
    return x;
  }
}

template <typename T>
inline constexpr DType kDTypeOf = DType::kFloat32;
template <>
inline constexpr DType kDTypeOf<bf16> = DType::kBFloat16;

}  // namespace quire

#endif  // QUIRE_CORE_NUMBER_TYPES_H_
