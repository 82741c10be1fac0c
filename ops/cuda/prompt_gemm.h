// Products of prompt rows: many at a time, bound by arithmetic.
#ifndef QUIRE_OPS_CUDA_PROMPT_GEMM_H_
#define QUIRE_OPS_CUDA_PROMPT_GEMM_H_

#include "ops/cuda/cuda_linear.h"

namespace quire {

// Unless it says otherwise a row's result depends on that row alone, to the bit, whatever the
// number of rows. One call at a time.
class PromptGemm {
 public:
  virtual ~PromptGemm() = default;

  // Chooses how to multiply by linears of this one's shape into y of type `out`: at start, as it
  // may measure.
  virtual void Prepare(const CudaLinear& linear, DType out) = 0;

  // y = x W^T + b in the queue's order, or false where it has no algorithm for the linear or the
  // matrices' alignment: never because of the number of rows. Prepare has seen the linear.
  virtual bool Multiply(const CudaLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) = 0;

  // False: a row's bits may depend on how many others it comes with.
  virtual bool is_batch_invariant() const = 0;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_PROMPT_GEMM_H_
