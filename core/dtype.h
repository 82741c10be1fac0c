// Element types of weights, activations and caches.
#ifndef QUIRE_CORE_DTYPE_H_
#define QUIRE_CORE_DTYPE_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16 };

constexpr size_t DTypeBytes(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

// "float32", "bfloat16", "float16": the names of config.json and of --dtype.
absl::string_view DTypeName(DType dtype);
absl::StatusOr<DType> ParseDType(absl::string_view name);

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

// IEEE half precision (storage bits) to fp32; exact.
float HalfToFloat(uint16_t bits);

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

#endif  // QUIRE_CORE_DTYPE_H_
