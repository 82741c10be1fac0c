// Copies of whole rows: one call owns one row.
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
void CopyRow(const void* in, ElementType in_type, int64_t width, void* out, ElementType out_type) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int lanes = LanesOf(width - i);
    StoreElements(out, out_type, i, LoadElements(in, in_type, i, lanes), lanes);
  }
}

void EmbedRow(const void* in, ElementType in_type, const EmbedRowArgs& e) {
  const Vec scale = Broadcast(e.scale);
  for (int64_t i = 0; i < e.width; i += kLanes) {
    const int lanes = LanesOf(e.width - i);
    Vec v = Mul(LoadElements(in, in_type, i, lanes), scale);
    if (e.accumulate) v = Add(LoadElements(e.out, ElementType::kFloat32, i, lanes), v);
    StoreElements(e.out, ElementType::kFloat32, i, v, lanes);
  }
}

}  // namespace quire::QUIRE_ISA
