// Element types of weights, activations and caches.
#ifndef QUIRE_CORE_DTYPE_H_
#define QUIRE_CORE_DTYPE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/number_types.h"

namespace quire {

// "float32", "bfloat16", "float16": the names of config.json and of --dtype.
absl::string_view DTypeName(DType dtype);
absl::StatusOr<DType> ParseDType(absl::string_view name);

// IEEE half precision (storage bits) to fp32; exact.
float HalfToFloat(uint16_t bits);

}  // namespace quire

#endif  // QUIRE_CORE_DTYPE_H_
