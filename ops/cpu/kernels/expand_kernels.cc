// Weights stored otherwise than as plain rows, made plain: one call owns a block of rows and
// columns that fits L2, on its way into a panel. A few operations per byte.
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

// Vectors of out features at one input feature.
Vec LoadColumn(const ExpandArgs& e, int64_t row, int64_t col, int n) {
  const int64_t first = row * e.row_stride + col * e.col_stride;
  if (e.row_stride == 1) return LoadElements(e.weight, e.type, first, n);
  if (e.row_stride == 2 && e.type == ElementType::kBFloat16) {
    return EvenOfPairs(LoadPairsFirst(static_cast<const uint16_t*>(e.weight) + first, 2 * n - 1));
  }
  float numbers[kLanes] = {};
  for (int i = 0; i < n; ++i) {
    float lanes[kLanes];
    Store(lanes, LoadElements(e.weight, e.type, first + i * e.row_stride, 1));
    numbers[i] = lanes[0];
  }
  return Load(numbers);
}

// Squares, transposed in registers.
void ExpandStrided(const ExpandArgs& e, ElementType out_type) {
  for (int64_t row = 0; row < e.rows; row += kLanes) {
    const int rows = LanesOf(e.rows - row);
    for (int64_t col = 0; col < e.cols; col += kLanes) {
      const int cols = LanesOf(e.cols - col);
      Vec square[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        square[i] = i < cols ? LoadColumn(e, e.row + row, e.col + col + i, rows) : Zero();
      }
      Transpose(square);
      for (int i = 0; i < rows; ++i) {
        StoreElements(e.out, out_type, (row + i) * e.out_stride + col, square[i], cols);
      }
    }
  }
}

// The bf16 with the value of an e2m1 number times 2^(s - 127), where that is no subnormal and no
// infinity: the exponent is `shift` = s - 127 steps from where it stands without a scale.
uint32_t NormalBits(uint32_t number, int32_t shift) {
  const uint32_t magnitude = number & 7U;
  // 0.5 is 0x3f00; from 1.0 on the two encodings differ by a constant.
  const uint32_t unscaled = 0x3f00U + (magnitude >= 2 ? magnitude << 6 : 0U);
  const uint32_t scaled = unscaled + (static_cast<uint32_t>(shift) << 7);
  return ((number & 8U) << 12) | (magnitude == 0 ? 0U : scaled);
}

// The same where it may be one.
uint32_t AnyBits(uint32_t number, uint32_t scale) {
  constexpr float kMagnitudes[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const uint32_t scale_bits = scale == 0 ? 1U << 22 : scale << 23;  // 2^-127 is subnormal
  float factor = 0.0F;
  __builtin_memcpy(&factor, &scale_bits, sizeof(factor));
  const float value = kMagnitudes[number & 7U] * factor;
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return ((number & 8U) << 12) | (bits >> 16);  // exact: three bits are set at most
}

// A block of 32 numbers as 16 pairs of bf16.
void ExpandBlock(const uint8_t* bytes, uint8_t scale, uint32_t* pairs) {
  if (scale >= 2 && scale < 252) {
    const int32_t shift = int32_t{scale} - 127;
    for (int i = 0; i < 16; ++i) {
      const uint32_t byte = bytes[i];
      pairs[i] = NormalBits(byte & 15U, shift) | NormalBits(byte >> 4, shift) << 16;
    }
  } else {
    for (int i = 0; i < 16; ++i) {
      const uint32_t byte = bytes[i];
      pairs[i] = AnyBits(byte & 15U, scale) | AnyBits(byte >> 4, scale) << 16;
    }
  }
}

template <bool kPairs>
void ExpandMxfp4(const ExpandArgs& e) {
  for (int64_t row = 0; row < e.rows; ++row) {
    const int64_t first = (e.row + row) * e.row_stride + e.col;
    const uint8_t* bytes = static_cast<const uint8_t*>(e.weight) + first / 2;
    const uint8_t* scales = e.mxfp4_scales + first / 32;
    for (int64_t block = 0; block < e.cols / 32; ++block) {
      uint32_t pairs[16];
      ExpandBlock(bytes + block * 16, scales[block], pairs);
      const int64_t at = row * e.out_stride + block * 32;
      if constexpr (kPairs) {
        __builtin_memcpy(static_cast<uint16_t*>(e.out) + at, pairs, sizeof(pairs));
      } else {
        uint32_t numbers[32];
        for (int i = 0; i < 16; ++i) {
          numbers[2 * i] = pairs[i] << 16;
          numbers[2 * i + 1] = pairs[i] & 0xffff0000U;
        }
        __builtin_memcpy(static_cast<float*>(e.out) + at, numbers, sizeof(numbers));
      }
    }
  }
}

}  // namespace

void ExpandFloat(const ExpandArgs& e) {
  if (e.mxfp4_scales != nullptr) return ExpandMxfp4<false>(e);
  ExpandStrided(e, ElementType::kFloat32);
}
void ExpandBf16(const ExpandArgs& e) {
  if (e.mxfp4_scales != nullptr) return ExpandMxfp4<true>(e);
  ExpandStrided(e, ElementType::kBFloat16);
}

}  // namespace quire::QUIRE_ISA
