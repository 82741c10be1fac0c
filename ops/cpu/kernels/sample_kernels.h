// Passes over a row of logits, compiled once per instruction set; see core/cpu/simd/vec.h for the
// rules of such files. Each reads the row once: 4 bytes an element and a few FLOPs.
#ifndef QUIRE_OPS_CPU_KERNELS_SAMPLE_KERNELS_H_
#define QUIRE_OPS_CPU_KERNELS_SAMPLE_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace quire {

inline constexpr int64_t kMaxBlock = 64;  // elements of a block of block_max

// A sum of weights over y[begin, end) of the elements that are in reach: y > cut, or y >= cut with
// keep_equal, and a weight of at least min_weight.
struct WeightSumArgs {
  const float* y;
  int64_t begin;
  int64_t end;
  float max;    // t = (y - max) * scale
  float scale;  // TemperatureScale
  float cut;
  bool keep_equal;
  uint64_t min_weight;
};

struct SampleKernels {
  // The greatest element; NaN counts as -infinity.
  float (*row_max)(const float* y, int64_t size);
  // out[i] = the greatest of y[64 i, 64 (i + 1)).
  void (*block_max)(const float* y, int64_t size, float* out);
  // Writes the indices of elements >= threshold, ascending, and returns their number.
  int64_t (*gather)(const float* y, int64_t size, float threshold, int32_t* indices);
  uint64_t (*weight_sum)(const WeightSumArgs& args);
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_KERNELS_SAMPLE_KERNELS_H_
