// The oracle of Ops::Route.
#ifndef QUIRE_OPS_REFERENCE_REFERENCE_ROUTER_H_
#define QUIRE_OPS_REFERENCE_REFERENCE_ROUTER_H_

#include <cstdint>

#include "core/device_memory.h"
#include "ops/ops.h"

namespace quire {

void ReferenceRoute(const RouterParams& params, const DeviceMatrix& logits,
                    DeviceArray<int32_t> ids, const DeviceMatrix& weights);

}  // namespace quire

#endif  // QUIRE_OPS_REFERENCE_REFERENCE_ROUTER_H_
