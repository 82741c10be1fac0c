// DType as kernels know it.
#ifndef QUIRE_CORE_CPU_ELEMENT_TYPE_OF_H_
#define QUIRE_CORE_CPU_ELEMENT_TYPE_OF_H_

#include "core/cpu/simd/element_type.h"
#include "core/dtype.h"

namespace quire {

constexpr ElementType ToElementType(DType dtype) { return static_cast<ElementType>(dtype); }
static_assert(ToElementType(DType::kFloat32) == ElementType::kFloat32);
static_assert(ToElementType(DType::kBFloat16) == ElementType::kBFloat16);
static_assert(ToElementType(DType::kFloat16) == ElementType::kFloat16);

}  // namespace quire

#endif  // QUIRE_CORE_CPU_ELEMENT_TYPE_OF_H_
