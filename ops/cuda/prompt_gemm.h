// Products of prompt rows: many at a time, bound by arithmetic.
#ifndef QUIRE_OPS_CUDA_PROMPT_GEMM_H_
#define QUIRE_OPS_CUDA_PROMPT_GEMM_H_

#include "ops/cuda/cuda_linear.h"

namespace quire {

// A row's result depends on that row alone, to the bit, whatever the number of rows. One call at a
// time.
class PromptGemm {
 public:
  virtual ~PromptGemm() = default;

  // y = x W^T + b in the queue's order, or false where it has no algorithm for the linear or the
  // matrices' alignment: never because of the number of rows.
  virtual bool Multiply(const CudaLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) = 0;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_PROMPT_GEMM_H_
