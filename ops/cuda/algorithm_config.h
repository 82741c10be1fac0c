// cuBLASLt's algorithms, and the products that take them, as plain numbers.
#ifndef QUIRE_OPS_CUDA_ALGORITHM_CONFIG_H_
#define QUIRE_OPS_CUDA_ALGORITHM_CONFIG_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/dtype.h"

namespace quire {

// The attributes of cublasLtMatmulAlgoConfigAttributes_t; 0 is what an algorithm has unasked.
struct AlgorithmConfig {
  int32_t id = 0;
  int32_t tile = 0;
  int32_t stages = 0;
  int32_t splits = 1;  // parts of K; 0 is 1
  int32_t reduction = 0;
  int32_t swizzle = 0;
  int32_t custom = 0;
  int32_t inner_shape = 0;
  int32_t cluster_shape = 0;

  // In that order.
  std::array<int32_t, 9> numbers() const {
    return {id, tile, stages, splits, reduction, swizzle, custom, inner_shape, cluster_shape};
  }
  static AlgorithmConfig Of(const std::array<int32_t, 9>& n) {
    return {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]};
  }
  // Whether one thread of sums goes over all of K: parts would have to be reduced.
  bool takes_k_whole() const { return splits <= 1 && reduction == 0; }
  friend bool operator==(const AlgorithmConfig&, const AlgorithmConfig&) = default;
};

// y = x W^T + b with x act [M, K], W act [N, K], y out [M, N], of any M.
struct ProductKind {
  DType act = DType::kBFloat16;
  DType out = DType::kBFloat16;
  int64_t n = 0;
  int64_t k = 0;
  bool has_bias = false;

  friend bool operator==(const ProductKind&, const ProductKind&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ProductKind& kind) {
    return H::combine(std::move(h), kind.act, kind.out, kind.n, kind.k, kind.has_bias);
  }
  // "4096x14336 of bfloat16 into float32": for people.
  std::string text() const {
    return absl::StrCat(n, "x", k, " of ", DTypeName(act), " into ", DTypeName(out),
                        has_bias ? " with bias" : "");
  }
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_ALGORITHM_CONFIG_H_
