// The type of an element in memory, as kernels are told it. Same values as DType, which they can't
// include.
#ifndef QUIRE_CORE_CPU_SIMD_ELEMENT_TYPE_H_
#define QUIRE_CORE_CPU_SIMD_ELEMENT_TYPE_H_

#include <cstdint>

namespace quire {

enum class ElementType : uint8_t { kFloat32, kBFloat16, kFloat16 };

}  // namespace quire

#endif  // QUIRE_CORE_CPU_SIMD_ELEMENT_TYPE_H_
