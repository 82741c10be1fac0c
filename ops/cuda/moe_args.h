// What the host tells the kernels of ops/cuda/router.cuh and experts.cuh. Pointers are device
// pointers; shapes are checked already (ops/op_checks.h). Letters: T tokens, X experts, k of them a
// token, pair t * k + j the j-th choice of token t.
#ifndef QUIRE_OPS_CUDA_MOE_ARGS_H_
#define QUIRE_OPS_CUDA_MOE_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"
#include "ops/op_kinds.h"

namespace quire {

// The k experts of each token by descending choice, and their weights (Ops::Route).
struct RouteRowsArgs {
  RouterRules rules;
  const float* correction_bias = nullptr;  // [X], or null
  DeviceMatrix logits;                     // fp32 [T, X]
  int32_t* ids = nullptr;                  // [T k]
  DeviceMatrix weights;                    // fp32 [T, k]
};

// The pairs sorted by expert, a stable sort: in the order of (expert, token, j). What an id that is
// no expert's leads to: DeviceCheck.
struct SortPairsArgs {
  DeviceArray<const int32_t> ids;   // [T k]
  int top_k = 0;                    // k
  int num_experts = 0;              // X, at most kMaxExperts
  int32_t* counts = nullptr;        // [SortPairsCounts(T k, X)]: scratch, or null where that is 0
  int32_t* expert_start = nullptr;  // [X + 1]: expert x has places [start[x], start[x + 1])
  int32_t* source_row = nullptr;    // [T k], of a place: the token
  int32_t* place = nullptr;         // [T k], of a pair: its place
};

// A block of the sort's takes so many pairs. More of them than that need scratch: a count for each
// block and expert.
inline constexpr int64_t kPairsPerBlock = 4096;
constexpr int64_t SortPairsCounts(int64_t pairs, int64_t num_experts) {
  const int64_t blocks = (pairs + kPairsPerBlock - 1) / kPairsPerBlock;
  return blocks > 1 ? blocks * num_experts : 0;
}

// out[t] = sum over j of weights[t, j] * y[place[t k + j]], in the order of j.
struct CombineExpertsArgs {
  DeviceMatrix y;                    // fp32 or bf16 [T k, E], by place
  DeviceMatrix weights;              // fp32 [T, k]
  DeviceArray<const int32_t> place;  // [T k]
  DeviceMatrix out;                  // fp32 [T, E]
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_MOE_ARGS_H_
