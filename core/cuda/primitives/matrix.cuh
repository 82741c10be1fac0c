// Matrix fragments and products of one warp (ldmatrix, mma.sync; sm_80). All 32 lanes call them.
// Layouts are those of the PTX ISA, "Matrix multiply-accumulate operation using mma instruction".
// With g = lane / 4 and t = lane % 4:
//
//   bf16 m16n8k16   A 16x16, 4 registers of 2: (g, 2t..) (g + 8, 2t..) (g, 2t + 8..) (g + 8, 2t
//   + 8..)
//                   B 16x8, 2 registers of 2:  (2t.., g) (2t + 8.., g)
//   tf32 m16n8k8    A 16x8, 4 registers:       (g, t) (g + 8, t) (g, t + 4) (g + 8, t + 4)
//                   B 8x8, 2 registers:        (t, g) (t + 4, g)
//   C, D 16x8, 4 fp32:                         (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1)
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_MATRIX_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_MATRIX_CUH_

#include <string>

#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

#if QUIRE_EMULATED
namespace internal {

struct LoadMatrixFrame {
  int count;
  bool transposed;
  uint16_t loaded[8];   // the row that this lane names
  uint32_t* registers;  // [count]
};

// The rows of matrix m are those of lanes 8m .. 8m + 7.
inline std::string CompleteLoadMatrix(void* const* frames, uint32_t /*mask*/) {
  const auto frame = [&](int lane) { return static_cast<LoadMatrixFrame*>(frames[lane]); };
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int m = 0; m < frame(lane)->count; ++m) {
      const auto at = [&](int row, int column) {
        return uint32_t{frame(8 * m + row)->loaded[column]};
      };
      frame(lane)->registers[m] = frame(lane)->transposed ? at(2 * t, g) | (at(2 * t + 1, g) << 16)
                                                          : at(g, 2 * t) | (at(g, 2 * t + 1) << 16);
    }
  }
  return {};
}

struct MmaFrame {
  const uint32_t* a;
  const uint32_t* b;
  float* c;
};

// A element [row, k] and B element [k, column] of a product of kK numbers.
template <int kK>
struct Operand;
template <>
struct Operand<16> {
  static float Half(uint32_t packed, int odd) {
    return odd != 0 ? HighBf16(packed) : LowBf16(packed);
  }
  static float A(void* const* frames, int row, int k) {
    const auto* frame = static_cast<const MmaFrame*>(frames[row % 8 * 4 + k % 8 / 2]);
    return Half(frame->a[k / 8 * 2 + row / 8], k % 2);
  }
  static float B(void* const* frames, int k, int column) {
    const auto* frame = static_cast<const MmaFrame*>(frames[column * 4 + k % 8 / 2]);
    return Half(frame->b[k / 8], k % 2);
  }
};
template <>
struct Operand<8> {
  // The lower 13 bits are not looked at.
  static float Cut(uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000U); }
  static float A(void* const* frames, int row, int k) {
    const auto* frame = static_cast<const MmaFrame*>(frames[row % 8 * 4 + k % 4]);
    return Cut(frame->a[k / 4 * 2 + row / 8]);
  }
  static float B(void* const* frames, int k, int column) {
    return Cut(static_cast<const MmaFrame*>(frames[column * 4 + k % 4])->b[k / 4]);
  }
};

template <int kK>
std::string CompleteMma(void* const* frames, uint32_t /*mask*/) {
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      auto* frame = static_cast<MmaFrame*>(frames[row % 8 * 4 + column / 2]);
      float& c = frame->c[row / 8 * 2 + column % 2];
      double sum = 0.0;
      for (int k = 0; k < kK; ++k) {
        sum += double{Operand<kK>::A(frames, row, k)} * Operand<kK>::B(frames, k, column);
      }
      c = static_cast<float>(sum + c);
    }
  }
  return {};
}

}  // namespace internal
#endif

// Loads kCount (1, 2 or 4) matrices of 8x8 numbers of 2 bytes. Lane 8m + r names the first number
// of row r of matrix m, element `i` of `source`, 16 bytes aligned; lanes beyond 8 kCount need not
// name one that exists. Register m of a lane gets (g, 2t) and (g, 2t + 1) of matrix m, or of its
// transpose.
template <int kCount, bool kTransposed = false, typename T>
QUIRE_DEVICE void LoadMatrix(uint32_t (&registers)[kCount], Shared<T> source, int i,
                             [[maybe_unused]] Place place = Place::Here()) {
  static_assert(sizeof(T) == 2 && (kCount == 1 || kCount == 2 || kCount == 4));
#if QUIRE_EMULATED
  internal::LoadMatrixFrame frame{kCount, kTransposed, {}, registers};
  if (emulation::ThreadIndex() % kWarpLanes < 8 * kCount) {
    emulation::ReadShared(source.Offset(i, 16, place), frame.loaded, 16, place);
  }
  emulation::WarpCollective("LoadMatrix", kAllLanes, &frame, &internal::CompleteLoadMatrix, place);
#else
  const uint32_t address = source.Address(i);
  if constexpr (kCount == 1 && !kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(registers[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kCount == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(registers[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kCount == 2 && !kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(registers[0]), "=r"(registers[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kCount == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(registers[0]), "=r"(registers[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (!kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

// C += A B of bf16 numbers, 16x16 by 16x8. The order of the sum is the device's own; the same
// operands give the same bits.
QUIRE_DEVICE void MmaBf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  internal::MmaFrame frame{a, b, c};
  emulation::WarpCollective("MmaBf16", kAllLanes, &frame, &internal::CompleteMma<16>, place);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The nearest number of tf32 (10 bits of fraction), ties away from zero.
QUIRE_DEVICE uint32_t ToTf32(float x) {
#if QUIRE_EMULATED
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return (bits & 0x7f800000U) == 0x7f800000U ? bits : (bits + 0x1000U) & 0xffffe000U;
#else
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#endif
}

// C += A B of tf32 numbers, 16x8 by 8x8.
QUIRE_DEVICE void MmaTf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  internal::MmaFrame frame{a, b, c};
  emulation::WarpCollective("MmaTf32", kAllLanes, &frame, &internal::CompleteMma<8>, place);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_MATRIX_CUH_
