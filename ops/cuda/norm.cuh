// Norms, with the residual's sum before them: one block owns a row. They stream: a few FLOPs per
// byte. A row is read once and kept in registers as far as kHeld chunks a thread reach; what is
// beyond is read again, from caches.
//
// The number of threads, and so the order of a row's sums, follows from its width alone.
#ifndef QUIRE_OPS_CUDA_NORM_CUH_
#define QUIRE_OPS_CUDA_NORM_CUH_

#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_reduce.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/kernel_args.h"

namespace quire::QUIRE_CUDA_TARGET {

template <typename X, typename Delta, typename Out>
struct NormParams {
  NormKind kind;
  float eps;
  int width;  // E
  Global<const float> weight;
  Global<const float> bias;
  Global<X> x;
  int64_t x_stride;
  Global<const Delta> delta;
  int64_t delta_stride;
  float delta_scale;
  Global<Out> out;
  int64_t out_stride;
  bool into_x;
};

// What a thread does to its chunks of one row.
template <typename X, typename Delta, typename Out, bool kAligned>
class NormRow {
 public:
  QUIRE_DEVICE NormRow(const NormParams<X, Delta, Out>& params, int64_t row)
      : p_(params),
        x_(params.x + row * params.x_stride),
        delta_(params.delta.is_null() ? params.delta : params.delta + row * params.delta_stride),
        out_(params.out + row * params.out_stride) {}

  // visit(values, count) for each chunk of this thread, once the delta is added.
  template <typename Visit>
  QUIRE_DEVICE void FirstPass(Visit visit) {
    Pass([&](int chunk, float(&values)[kChunk], bool /*held*/) {
      Load(chunk, values);
      AddDelta(chunk, values);
      visit(values, ChunkCount(p_.width, chunk));
    });
  }
  // Again, behind the first pass.
  template <typename Visit>
  QUIRE_DEVICE void NextPass(Visit visit) {
    Pass([&](int chunk, float(&values)[kChunk], bool held) {
      if (!held) Load(chunk, values);
      visit(values, ChunkCount(p_.width, chunk));
    });
  }
  // The last one: out = (x - mean) * scale * weight + bias.
  QUIRE_DEVICE void Finish(float mean, float scale) {
    Pass([&](int chunk, float(&values)[kChunk], bool held) {
      if (!held) Load(chunk, values);
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) values[i] = (values[i] - mean) * scale;
      Weigh(chunk, values);
      const int begin = chunk * kChunk, count = ChunkCount(p_.width, chunk);
      if (p_.into_x) StoreChunk<kAligned>(x_, begin, count, values);
      StoreChunk<kAligned>(out_, begin, count, values);
    });
  }

 private:
  static constexpr int kHeld = 2;  // chunks of a thread that stay in registers

  template <typename Visit>
  QUIRE_DEVICE void Pass(Visit visit) {
    const int chunks = NumChunks(p_.width);
    QUIRE_UNROLL
    for (int i = 0; i < kHeld; ++i) {
      const int chunk = ThreadIndex() + i * BlockThreads();
      if (chunk < chunks) visit(chunk, held_[i], /*held=*/true);
    }
    for (int chunk = ThreadIndex() + kHeld * BlockThreads(); chunk < chunks;
         chunk += BlockThreads()) {
      float values[kChunk];
      visit(chunk, values, /*held=*/false);
    }
  }

  QUIRE_DEVICE void Load(int chunk, float (&values)[kChunk]) const {
    LoadChunk<kAligned>(Global<const X>(x_), chunk * kChunk, ChunkCount(p_.width, chunk), values);
  }
  QUIRE_DEVICE void AddDelta(int chunk, float (&values)[kChunk]) const {
    if (delta_.is_null()) return;
    const int begin = chunk * kChunk, count = ChunkCount(p_.width, chunk);
    float delta[kChunk];
    LoadChunk<kAligned, Cache::kStream>(delta_, begin, count, delta);
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) values[i] = Fma(p_.delta_scale, delta[i], values[i]);
    StoreChunk<kAligned>(x_, begin, count, values);
  }
  QUIRE_DEVICE void Weigh(int chunk, float (&values)[kChunk]) const {
    const int begin = chunk * kChunk, count = ChunkCount(p_.width, chunk);
    float factors[kChunk];
    if (!p_.weight.is_null()) {
      LoadChunk<kAligned, Cache::kReadOnly>(p_.weight, begin, count, factors);
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) values[i] *= factors[i];
    }
    if (!p_.bias.is_null()) {
      LoadChunk<kAligned, Cache::kReadOnly>(p_.bias, begin, count, factors);
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) values[i] += factors[i];
    }
  }

  const NormParams<X, Delta, Out>& p_;
  Global<X> x_;
  Global<const Delta> delta_;
  Global<Out> out_;
  float held_[kHeld][kChunk];
};

template <typename X, typename Delta, typename Out, bool kAligned>
QUIRE_KERNEL(kMaxBlockThreads, 1)
void NormKernel(NormParams<X, Delta, Out> p) {
  SharedMemory memory;
  const Shared<float> sum_scratch = memory.Take<float>(BlockWarps());
  const Shared<float> squares_scratch = memory.Take<float>(BlockWarps());
  WaitForEarlierKernels();
  LetLaterKernelsBegin();

  NormRow<X, Delta, Out, kAligned> row(p, BlockX());
  const float width = static_cast<float>(p.width);
  float mean = 0.0F;
  float squares = 0.0F;
  const auto add_squares = [&](const float(&values)[kChunk], int count) {
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) {
      const float centred = values[i] - mean;
      if (i < count) squares = Fma(centred, centred, squares);
    }
  };
  switch (p.kind) {
    case NormKind::kNone:
      row.FirstPass([](const float(&)[kChunk], int) {});
      row.Finish(0.0F, 1.0F);
      break;
    case NormKind::kRms:
      row.FirstPass(add_squares);
      break;
    case NormKind::kLayer: {
      float sum = 0.0F;
      row.FirstPass([&](const float(&values)[kChunk], int) {
        QUIRE_UNROLL
        for (int i = 0; i < kChunk; ++i) sum += values[i];
      });
      mean = ExactDivide(BlockReduce(sum, Plus(), sum_scratch), width);
      row.NextPass(add_squares);
      break;
    }
  }
  if (p.kind != NormKind::kNone) {
    squares = BlockReduce(squares, Plus(), squares_scratch);
    row.Finish(mean, ExactRsqrt(ExactDivide(squares, width) + p.eps));
  }
}

// On the host: the instance for these types, in its shape.
template <typename X, typename Delta, typename Out, typename Launcher>
void LaunchNormOf(Launcher& launcher, const NormArgs& args) {
  const int width = static_cast<int>(args.x.cols);
  // Two chunks a thread, whole warps.
  const int threads = (NumChunks(width) + 2 * kWarpLanes - 1) / (2 * kWarpLanes) * kWarpLanes;
  LaunchShape shape{.name = "norm", .grid = {.x = args.x.rows}, .overlaps_earlier = true};
  shape.threads = threads < kMaxBlockThreads ? threads : kMaxBlockThreads;
  shape.shared_bytes = 2 * SharedBytes<float>(shape.threads / kWarpLanes);
  const NormParams<X, Delta, Out> params{
      .kind = args.kind,
      .eps = args.eps,
      .width = width,
      .weight = Global<const float>(args.weight),
      .bias = Global<const float>(args.bias),
      .x = Global<X>(static_cast<X*>(args.x.data)),
      .x_stride = args.x.row_stride,
      .delta = Global<const Delta>(static_cast<const Delta*>(args.delta.data)),
      .delta_stride = args.delta.row_stride,
      .delta_scale = args.delta_scale,
      .out = Global<Out>(static_cast<Out*>(args.out.data)),
      .out_stride = args.out.row_stride,
      .into_x = args.into_x,
  };
  const bool aligned = HasAlignedRows(args.x) && HasAlignedRows(args.out) &&
                       (args.delta.data == nullptr || HasAlignedRows(args.delta)) &&
                       IsAligned(args.weight) && IsAligned(args.bias);
  launcher.Launch(shape,
                  aligned ? &NormKernel<X, Delta, Out, true> : &NormKernel<X, Delta, Out, false>,
                  params);
}

// args.x.rows of them, with args.x.cols > 0.
template <typename Launcher>
void LaunchNorm(Launcher& launcher, const NormArgs& args) {
  const bool out_bf16 = args.out.dtype == DType::kBFloat16;
  if (args.x.dtype == DType::kBFloat16) {
    return out_bf16 ? LaunchNormOf<bf16, float, bf16>(launcher, args)
                    : LaunchNormOf<bf16, float, float>(launcher, args);
  }
  if (args.delta.dtype == DType::kBFloat16) {
    return out_bf16 ? LaunchNormOf<float, bf16, bf16>(launcher, args)
                    : LaunchNormOf<float, bf16, float>(launcher, args);
  }
  return out_bf16 ? LaunchNormOf<float, float, bf16>(launcher, args)
                  : LaunchNormOf<float, float, float>(launcher, args);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_NORM_CUH_
