// Ops that take the numbers of a row by themselves: one block owns a piece of a row, a thread one
// chunk of it. They stream, and memory bounds them: an activation in fp32, the most of their work,
// takes about 35 instructions for 12 bytes.
//
// Every number of a result follows from its own inputs alone.
#ifndef QUIRE_OPS_CUDA_ROW_OPS_CUH_
#define QUIRE_OPS_CUDA_ROW_OPS_CUH_

#include <cstdint>
#include <type_traits>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/row_op_args.h"
#include "ops/cuda/special.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kRowThreads = 128;

// `op` on numbers [begin, begin + count) of row BlockX().
template <typename Op>
QUIRE_KERNEL(kRowThreads, 8)
void RowKernel(Op op) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int chunk = BlockY() * BlockThreads() + ThreadIndex();
  if (chunk < NumChunks(op.width)) {
    op.Run(BlockX(), chunk * kChunk, ChunkCount(op.width, chunk));
  }
}

template <typename Op, typename Launcher>
void LaunchRows(Launcher& launcher, const char* name, int64_t rows, const Op& op) {
  const int chunks = NumChunks(op.width);
  const int threads = (chunks + kWarpLanes - 1) / kWarpLanes * kWarpLanes;
  LaunchShape shape{.name = name, .overlaps_earlier = true};
  shape.threads = threads < kRowThreads ? threads : kRowThreads;
  shape.grid = {.x = rows, .y = (chunks + shape.threads - 1) / shape.threads};
  launcher.Launch(shape, &RowKernel<Op>, op);
}

// with(bf16()) or with(float()), and with(true) or with(false) as a type: the instance to launch.
template <typename With>
void WithTypeOf(DType dtype, With with) {
  if (dtype == DType::kBFloat16) {
    with(bf16());
  } else {
    with(float());
  }
}
template <typename With>
void WithConstant(bool value, With with) {
  if (value) {
    with(std::true_type());
  } else {
    with(std::false_type());
  }
}

template <Activation kKind, bool kFast>
QUIRE_DEVICE float Activated(float x) {
  if constexpr (kKind == Activation::kSilu) {
    return Quotient<kFast>(x, 1.0F + ExpOf<kFast>(-x));
  } else if constexpr (kKind == Activation::kGeluTanh) {
    // As x sigmoid(2 u), which loses nothing where tanh is near -1; 0 below -10, where it is less
    // than fp32 can hold.
    constexpr float kCubic = 0x1.2444f2p-4F;   // 2 sqrt(2 / pi) 0.044715
    constexpr float kLinear = 0x1.988454p+0F;  // 2 sqrt(2 / pi)
    const float twice_u = x * Fma(Multiply(x, x), kCubic, kLinear);
    return x < -10.0F ? 0.0F : x * Sigmoid<kFast>(twice_u);
  } else if constexpr (kKind == Activation::kGeluExact) {
    return x * NormalCdf<kFast>(x);
  } else {
    return x < 0.0F ? 0.0F : x;  // kRelu; NaN stays
  }
}

template <Activation kKind, bool kFast>
QUIRE_DEVICE float Gated(const ActivationParams& params, float gate, float up) {
  if constexpr (kKind == Activation::kClampedSwiglu) {
    const float limit = params.limit;
    const float low_gate = gate > limit ? limit : gate;
    const float clamped_up = up > limit ? limit : up < -limit ? -limit : up;
    return (clamped_up + 1.0F) * (low_gate * Sigmoid<kFast>(params.alpha * low_gate));
  } else {
    return Activated<kKind, kFast>(gate) * up;
  }
}

template <typename T, bool kGated, bool kAligned>
struct ActivateOp {
  ActivationParams activation;
  int width;  // F
  Global<const T> x;
  int64_t x_stride;
  Global<T> out;
  int64_t out_stride;

  QUIRE_DEVICE void Run(int64_t row, int begin, int count) const {
    switch (activation.kind) {
      case Activation::kSilu:
        return RunKind<Activation::kSilu>(row, begin, count);
      case Activation::kGeluTanh:
        return RunKind<Activation::kGeluTanh>(row, begin, count);
      case Activation::kGeluExact:
        return RunKind<Activation::kGeluExact>(row, begin, count);
      case Activation::kRelu:
        return RunKind<Activation::kRelu>(row, begin, count);
      case Activation::kClampedSwiglu:
        if constexpr (kGated) RunKind<Activation::kClampedSwiglu>(row, begin, count);
        return;
    }
  }

 private:
  static constexpr bool kFast = sizeof(T) == 2;

  template <Activation kKind>
  QUIRE_DEVICE void RunKind(int64_t row, int begin, int count) const {
    const Global<const T> from = x + row * x_stride;
    float values[kChunk];
    LoadChunk<kAligned, Cache::kStream>(from, begin, count, values);
    if constexpr (kGated) {
      float up[kChunk];
      LoadChunk<kAligned, Cache::kStream>(from, width + begin, count, up);
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) {
        values[i] = Gated<kKind, kFast>(activation, values[i], up[i]);
      }
    } else {
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) values[i] = Activated<kKind, kFast>(values[i]);
    }
    StoreChunk<kAligned>(out + row * out_stride, begin, count, values);
  }
};

// args.out.rows of them, with args.out.cols > 0.
template <typename Launcher>
void LaunchActivateRows(Launcher& launcher, const ActivateRowsArgs& args) {
  const DeviceMatrix &x = args.x, &out = args.out;
  // Where gated, the other half of a row begins as its first does.
  const bool aligned = HasAlignedRows(x) && HasAlignedRows(out) &&
                       (!args.gated || out.cols * DTypeBytes(x.dtype) % 16 == 0);
  WithTypeOf(x.dtype, [&](auto type) {
    WithConstant(args.gated, [&](auto gated) {
      WithConstant(aligned, [&](auto is_aligned) {
        using T = decltype(type);
        const ActivateOp<T, decltype(gated)::value, decltype(is_aligned)::value> op{
            .activation = args.activation,
            .width = static_cast<int>(out.cols),
            .x = Global<const T>(static_cast<const T*>(x.data)),
            .x_stride = x.row_stride,
            .out = Global<T>(static_cast<T*>(out.data)),
            .out_stride = out.row_stride};
        LaunchRows(launcher, "activate", out.rows, op);
      });
    });
  });
}

template <typename T, bool kAligned>
struct AddOp {
  int width;  // E
  Global<const T> x;
  int64_t x_stride;
  float scale;
  Global<const float> gate_fp32;  // one of them, or both are null
  Global<const bf16> gate_bf16;
  int64_t gate_stride;
  Global<float> out;
  int64_t out_stride;

  QUIRE_DEVICE void Run(int64_t row, int begin, int count) const {
    const float factor = scale * Gate(row);
    const Global<float> to = out + row * out_stride;
    float values[kChunk], sums[kChunk];
    LoadChunk<kAligned, Cache::kStream>(x + row * x_stride, begin, count, values);
    LoadChunk<kAligned>(Global<const float>(to), begin, count, sums);
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) sums[i] = Fma(factor, values[i], sums[i]);
    StoreChunk<kAligned>(to, begin, count, sums);
  }

 private:
  QUIRE_DEVICE float Gate(int64_t row) const {
    if (!gate_fp32.is_null()) return Sigmoid<false>(gate_fp32.Load(row * gate_stride));
    if (!gate_bf16.is_null()) return Sigmoid<false>(ToFloat(gate_bf16.Load(row * gate_stride)));
    return 1.0F;
  }
};

// args.out.rows of them, with args.out.cols > 0.
template <typename Launcher>
void LaunchAddRows(Launcher& launcher, const AddRowsArgs& args) {
  const DeviceMatrix &x = args.x, &gate = args.gate, &out = args.out;
  const bool gate_is_bf16 = gate.dtype == DType::kBFloat16;
  WithTypeOf(x.dtype, [&](auto type) {
    WithConstant(HasAlignedRows(x) && HasAlignedRows(out), [&](auto is_aligned) {
      using T = decltype(type);
      const AddOp<T, decltype(is_aligned)::value> op{
          .width = static_cast<int>(out.cols),
          .x = Global<const T>(static_cast<const T*>(x.data)),
          .x_stride = x.row_stride,
          .scale = args.scale,
          .gate_fp32 =
              Global<const float>(gate_is_bf16 ? nullptr : static_cast<const float*>(gate.data)),
          .gate_bf16 =
              Global<const bf16>(gate_is_bf16 ? static_cast<const bf16*>(gate.data) : nullptr),
          .gate_stride = gate.row_stride,
          .out = Global<float>(static_cast<float*>(out.data)),
          .out_stride = out.row_stride};
      LaunchRows(launcher, "add_rows", out.rows, op);
    });
  });
}

template <bool kAligned>
struct SoftcapOp {
  int width;  // V
  Global<float> logits;
  int64_t stride;
  float factor;  // scale / cap, or scale where cap is 0
  float cap;

  QUIRE_DEVICE void Run(int64_t row, int begin, int count) const {
    const Global<float> at = logits + row * stride;
    float values[kChunk];
    LoadChunk<kAligned>(Global<const float>(at), begin, count, values);
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) {
      values[i] = Multiply(values[i], factor);
      if (cap != 0.0F) values[i] = cap * Tanh(values[i]);
    }
    StoreChunk<kAligned>(at, begin, count, values);
  }
};

// args.logits.rows of them, with args.logits.cols > 0.
template <typename Launcher>
void LaunchSoftcap(Launcher& launcher, const SoftcapArgs& args) {
  const DeviceMatrix& logits = args.logits;
  WithConstant(HasAlignedRows(logits), [&](auto is_aligned) {
    const SoftcapOp<decltype(is_aligned)::value> op{
        .width = static_cast<int>(logits.cols),
        .logits = Global<float>(static_cast<float*>(logits.data)),
        .stride = logits.row_stride,
        .factor = args.cap == 0.0F ? args.scale : args.scale / args.cap,
        .cap = args.cap};
    LaunchRows(launcher, "softcap", logits.rows, op);
  });
}

template <typename T, bool kAligned>
struct GatherOp {
  int width;  // E
  Global<const T> x;
  int64_t x_stride;
  int64_t x_rows;
  Global<const int32_t> rows;
  Global<T> out;
  int64_t out_stride;

  QUIRE_DEVICE void Run(int64_t row, int begin, int count) const {
    const int64_t source = rows.Load(row);
    DeviceCheck(source >= 0 && source < x_rows);
    const Global<const T> from = x + source * x_stride;
    const Global<T> to = out + row * out_stride;
    if (kAligned && count == kChunk) {
      constexpr int kPack = kPackOf16Bytes<T>;
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; i += kPack) {
        to.template StorePack<kPack>(begin + i, from.template LoadPack<kPack>(begin + i));
      }
      return;
    }
    for (int i = 0; i < count; ++i) to.Store(begin + i, from.Load(begin + i));
  }
};

// args.out.rows of them, with args.out.cols > 0.
template <typename Launcher>
void LaunchGatherRows(Launcher& launcher, const GatherRowsArgs& args) {
  const DeviceMatrix &x = args.x, &out = args.out;
  WithTypeOf(x.dtype, [&](auto type) {
    WithConstant(HasAlignedRows(x) && HasAlignedRows(out), [&](auto is_aligned) {
      using T = decltype(type);
      const GatherOp<T, decltype(is_aligned)::value> op{
          .width = static_cast<int>(out.cols),
          .x = Global<const T>(static_cast<const T*>(x.data)),
          .x_stride = x.row_stride,
          .x_rows = x.rows,
          .rows = Global<const int32_t>(args.rows.data),
          .out = Global<T>(static_cast<T*>(out.data)),
          .out_stride = out.row_stride};
      LaunchRows(launcher, "gather_rows", out.rows, op);
    });
  });
}

inline constexpr int kSumThreads = 32;

template <typename T>
struct SumParams {
  int width;  // E
  int64_t rows;
  Global<const T> x;
  int64_t x_stride;
  Global<float> sum;
};

// A thread owns a column: small blocks, so that a few thousand columns reach every multiprocessor,
// and many rows of it under way at once.
template <typename T>
QUIRE_KERNEL(kSumThreads, 16)
void SumRowsKernel(SumParams<T> p) {
  constexpr int kRowsAtOnce = 16;
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t column = BlockX() * kSumThreads + ThreadIndex();
  if (column < p.width) {
    float sum = p.sum.Load(column);
    for (int64_t row = 0; row < p.rows; row += kRowsAtOnce) {
      float values[kRowsAtOnce];
      QUIRE_UNROLL
      for (int i = 0; i < kRowsAtOnce; ++i) {
        if (row + i < p.rows) {
          values[i] = ToFloat(p.x.template Load<Cache::kStream>((row + i) * p.x_stride + column));
        }
      }
      QUIRE_UNROLL
      for (int i = 0; i < kRowsAtOnce; ++i) {
        if (row + i < p.rows) sum += values[i];
      }
    }
    p.sum.Store(column, sum);
  }
}

// Of args.x.rows rows, 0 too, with args.x.cols > 0.
template <typename Launcher>
void LaunchSumRows(Launcher& launcher, const SumRowsArgs& args) {
  const int width = static_cast<int>(args.x.cols);
  const LaunchShape shape{.name = "sum_rows",
                          .grid = {.x = (width + kSumThreads - 1) / kSumThreads},
                          .threads = kSumThreads,
                          .overlaps_earlier = true};
  WithTypeOf(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    launcher.Launch(shape, &SumRowsKernel<T>,
                    SumParams<T>{.width = width,
                                 .rows = args.x.rows,
                                 .x = Global<const T>(static_cast<const T*>(args.x.data)),
                                 .x_stride = args.x.row_stride,
                                 .sum = Global<float>(args.sum)});
  });
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_ROW_OPS_CUH_
