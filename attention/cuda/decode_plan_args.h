// Which keys the generated rows of a step see, cut into splits: written down on the device once
// (the plan) for all layers that share window, prefix and block table.
#ifndef QUIRE_ATTENTION_CUDA_DECODE_PLAN_ARGS_H_
#define QUIRE_ATTENTION_CUDA_DECODE_PLAN_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"

namespace quire {

// Of the rows [first_row, first_row + num_rows) of a batch (AttentionBatch): each is attended by
// itself.
struct DecodePlanArgs {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int split_tokens = 0;      // of a split, which begins at a multiple of it
  int64_t max_items = 0;     // splits that there is room for, of all rows
  bool may_be_more = false;  // then what there is no room for is only counted; else it is a bug
  int window = 0;
  int block_tokens = 0;  // divides split_tokens
  int prefix_tokens = 0;
  bool prefix_shared = false;
  DeviceArray<const int32_t> query_start;   // [S + 1]
  DeviceArray<const int32_t> positions;     // [T]
  DeviceArray<const int32_t> table_start;   // [S + 1]
  DeviceArray<const int32_t> first_block;   // [S]
  DeviceArray<const int32_t> prefix_start;  // [S + 1], where a prefix is the sequence's own
  int32_t* plan = nullptr;                  // [DecodePlanSize], aligned to 16 bytes
};

// Numbers of 4 bytes that a plan takes.
inline constexpr int kDecodeItemSize = 8;
constexpr int64_t DecodePlanSize(int64_t num_rows, int64_t max_items) {
  return max_items * kDecodeItemSize + num_rows * 2 + 1;
}

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_DECODE_PLAN_ARGS_H_
