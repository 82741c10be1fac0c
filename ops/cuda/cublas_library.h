// cuBLASLt, found when it is first called: a program that links this starts on machines without it.
#ifndef QUIRE_OPS_CUDA_CUBLAS_LIBRARY_H_
#define QUIRE_OPS_CUDA_CUBLAS_LIBRARY_H_

#include "absl/status/status.h"

namespace quire {

// FAILED_PRECONDITION where the library isn't there; its functions may be called once this is OK.
absl::Status LoadCublas();

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUBLAS_LIBRARY_H_
