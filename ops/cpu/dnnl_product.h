// One product of oneDNN, of fixed shape, on weights as our kernels pack them.
//
// execute() allocates a few small objects (its argument map) and frees them again; nothing else
// here allocates after Make.
#ifndef QUIRE_OPS_CPU_DNNL_PRODUCT_H_
#define QUIRE_OPS_CPU_DNNL_PRODUCT_H_

#include <cstdint>
#include <memory>

#include "core/dtype.h"

namespace quire {

// sums [rows, 64 panels] = x [rows, K] W^T, for one K, type, number of rows and of panels.
class DnnlProduct {
 public:
  virtual ~DnnlProduct() = default;

  // x is contiguous; `panel` is the first of the panels, each [K / P][64][P]. Calls with different
  // `thread` may run at once.
  virtual void Run(int thread, const void* x, const void* panel, float* sums) = 0;

  // Null where oneDNN's implementation is not a brgemm one ("brg:") or would read other panels than
  // ours. `in_features` must need no padding.
  static std::unique_ptr<DnnlProduct> Make(DType dtype, int64_t in_features, int64_t rows,
                                           int64_t panels, int num_threads);
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_DNNL_PRODUCT_H_
