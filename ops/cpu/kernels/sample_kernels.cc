#include "ops/cpu/kernels/sample_kernels.h"

#include "core/cpu/simd/sampling.h"

namespace quire::QUIRE_ISA {
namespace {

Vec MinusInfinity() { return Broadcast(-__builtin_inff()); }

// Elements [at, end), -infinity behind the end.
Vec LoadRow(const float* y, int64_t at, int64_t end) {
  if (end - at >= kLanes) return Load(y + at);
  const int lanes = static_cast<int>(end - at);
  return KeepLanes(LoadFirst(y + at, lanes), 0, lanes, -__builtin_inff());
}

float RowMax(const float* y, int64_t size) {
  Vec most[4] = {MinusInfinity(), MinusInfinity(), MinusInfinity(), MinusInfinity()};
  int next = 0;
  for (int64_t i = 0; i < size; i += kLanes) {
    most[next] = Max(LoadRow(y, i, size), most[next]);  // gives its second argument for NaN
    next = (next + 1) % 4;
  }
  return ReduceMax(Max(Max(most[0], most[1]), Max(most[2], most[3])));
}

void BlockMax(const float* y, int64_t size, float* out) {
  for (int64_t begin = 0; begin < size; begin += kMaxBlock) {
    const int64_t end = begin + kMaxBlock < size ? begin + kMaxBlock : size;
    Vec most = MinusInfinity();
    for (int64_t i = begin; i < end; i += kLanes) most = Max(LoadRow(y, i, end), most);
    out[begin / kMaxBlock] = ReduceMax(most);
  }
}

int64_t Gather(const float* y, int64_t size, float threshold, int32_t* indices) {
  const Vec least = Broadcast(threshold);
  int64_t count = 0;
  for (int64_t i = 0; i < size; i += kLanes) {
    uint32_t mask = AtLeastMask(LoadRow(y, i, size), least);
    if (size - i < kLanes) mask &= (1U << (size - i)) - 1;  // a threshold of -infinity
    for (; mask != 0; mask &= mask - 1) {
      indices[count++] = static_cast<int32_t>(i + __builtin_ctz(mask));
    }
  }
  return count;
}

uint64_t SumWeights(const WeightSumArgs& args) {
  const Vec max = Broadcast(args.max);
  const Vec scale = Broadcast(args.scale);
  const Vec cut = Broadcast(args.cut);
  WeightSum sum;
  for (int64_t i = args.begin; i < args.end; i += kLanes) {
    const Vec y = LoadRow(args.y, i, args.end);
    const uint32_t mask = args.keep_equal ? AtLeastMask(y, cut) : AboveMask(y, cut);
    sum.Add(Mul(Sub(y, max), scale), mask, args.min_weight);
  }
  return sum.Total();
}

}  // namespace

extern const SampleKernels kSampleKernels;
const SampleKernels kSampleKernels = {
    .row_max = RowMax,
    .block_max = BlockMax,
    .gather = Gather,
    .weight_sum = SumWeights,
};

}  // namespace quire::QUIRE_ISA
