// Weights into panels and out of them: one call owns one panel. Bound by memory: each source byte
// is read once, in order, and each packed byte written once, past the caches.
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

// Words (fp32, or pairs of bf16) `step` to `step + kLanes` of a source row, in the packed type;
// zeros from in_features on.
template <bool kPairs>
Vec LoadWords(const void* row, ElementType type, int64_t step, int64_t in_features) {
  if constexpr (!kPairs) {
    const int64_t left = in_features - step;
    if (left <= 0) return Zero();
    return LoadElements(row, type, step, static_cast<int>(left < kLanes ? left : kLanes));
  } else {
    const int64_t left = in_features - 2 * step;
    if (left <= 0) return Zero();
    const int n = static_cast<int>(left < 2 * kLanes ? left : 2 * kLanes);
    if (type == ElementType::kBFloat16) {
      const uint16_t* p = static_cast<const uint16_t*>(row) + 2 * step;
      return n == 2 * kLanes ? Load(reinterpret_cast<const float*>(p)) : LoadPairsFirst(p, n);
    }
    // Rounded to bf16 in order, then read back as pairs.
    uint16_t rounded[2 * kLanes] = {};
    const int low = n < kLanes ? n : kLanes;
    StoreBf16First(rounded, LoadElements(row, type, 2 * step, low), low);
    if (n > kLanes) {
      StoreBf16First(rounded + kLanes, LoadElements(row, type, 2 * step + kLanes, n - kLanes),
                     n - kLanes);
    }
    return LoadPairsFirst(rounded, n);
  }
}

// Squares of kLanes rows by kLanes words, transposed in registers.
template <bool kPairs>
void PackPanel(const PackPanelArgs& p) {
  auto* panel = static_cast<float*>(p.panel);
  const int64_t steps = kPairs ? p.padded_features / 2 : p.padded_features;
  for (int64_t first = 0; first < kPanelColumns; first += kLanes) {
    for (int64_t step = 0; step < steps; step += kLanes) {
      Vec square[kLanes];
      for (int r = 0; r < kLanes; ++r) {
        square[r] = first + r < p.count ? LoadWords<kPairs>(p.rows[first + r], p.types[first + r],
                                                            step, p.in_features)
                                        : Zero();
      }
      Transpose(square);
      for (int s = 0; s < kLanes; ++s) {
        StoreStream(panel + (step + s) * kPanelColumns + first, square[s]);
      }
    }
  }
  FenceStreams();
}

// One word of each step, 256 bytes apart.
template <bool kPairs>
void EmbedColumn(const void* panel, int64_t column, const EmbedRowArgs& e) {
  const auto* words = static_cast<const uint32_t*>(panel) + column;
  for (int64_t i = 0; i < e.width; ++i) {
    uint32_t bits = 0;
    if constexpr (kPairs) {
      const uint32_t pair = words[i / 2 * kPanelColumns];
      bits = i % 2 == 0 ? pair << 16 : pair & 0xffff0000U;
    } else {
      bits = words[i * kPanelColumns];
    }
    float weight = 0.0F;
    __builtin_memcpy(&weight, &bits, sizeof(bits));
    weight *= e.scale;
    e.out[i] = e.accumulate ? e.out[i] + weight : weight;
  }
}

}  // namespace

void PackPanelFloat(const PackPanelArgs& p) { PackPanel<false>(p); }
void PackPanelBf16(const PackPanelArgs& p) { PackPanel<true>(p); }

void EmbedColumnFloat(const void* panel, int64_t column, const EmbedRowArgs& e) {
  EmbedColumn<false>(panel, column, e);
}
void EmbedColumnBf16(const void* panel, int64_t column, const EmbedRowArgs& e) {
  EmbedColumn<true>(panel, column, e);
}

}  // namespace quire::QUIRE_ISA
