// oneDNN's share of the CPU products: tall blocks of rows times groups of panels, with the bits of
// our own kernels.
//
// oneDNN is trusted with a shape only after it has given the same bits as our kernel on random
// numbers, at load: versions differ in how they cut K into chunks. The check multiplies each height
// once (K = 1024, 4 panels: 5 ms).
#ifndef QUIRE_OPS_CPU_DNNL_GEMM_H_
#define QUIRE_OPS_CPU_DNNL_GEMM_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/dtype.h"
#include "ops/cpu/dnnl_product.h"
#include "ops/cpu/kernels/ops_kernels.h"

namespace quire {

class DnnlGemm {
 public:
  // Rows of the blocks, descending. Below the last our kernels are as good.
  static constexpr std::array<int64_t, 3> kHeights = {256, 128, 64};

  // The products of `panels` panels of K in_features, in the order of kHeights.
  struct Shape {
    DType dtype;
    int64_t in_features;
    int64_t panels;
    std::array<std::unique_ptr<DnnlProduct>, kHeights.size()> products;
    bool usable;
  };

  DnnlGemm(const OpsKernels& kernels, int num_threads)
      : kernels_(kernels), num_threads_(num_threads) {}

  // Makes and checks a shape, once; says whether it may be used.
  bool Prepare(DType dtype, int64_t in_features, int64_t panels);
  // A prepared shape, or null where it may not be used.
  const Shape* Find(DType dtype, int64_t in_features, int64_t panels) const;

 private:
  bool HasOurBits(const Shape& shape) const;
  // y [kHeights[0], 64 panels] = x W^T, by our kernels.
  void MultiplyByOurs(const Shape& shape, const char* x, const char* panels, float* y) const;

  const OpsKernels& kernels_;
  int num_threads_;
  std::vector<Shape> shapes_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_DNNL_GEMM_H_
