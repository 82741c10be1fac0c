// The oracle of ops.h: naive loops over plain row-major weights, sums in fp64, every result rounded
// once. A whole model runs on it, slowly.
#ifndef QUIRE_OPS_REFERENCE_REFERENCE_OPS_H_
#define QUIRE_OPS_REFERENCE_REFERENCE_OPS_H_

#include <memory>

#include "core/device_memory.h"
#include "ops/ops.h"

namespace quire {

// `memory` is host memory and outlives the ops.
std::unique_ptr<Ops> MakeReferenceOps(DeviceMemory& memory);

}  // namespace quire

#endif  // QUIRE_OPS_REFERENCE_REFERENCE_OPS_H_
