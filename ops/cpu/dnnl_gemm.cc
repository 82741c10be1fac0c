#include "ops/cpu/dnnl_gemm.h"

#include <cstring>
#include <utility>

#include "core/ceil_div.h"
#include "core/elements.h"

namespace quire {
namespace {

// Aligned as device memory is.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : storage_(bytes + 64) {}
  template <typename T>
  T* data() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return reinterpret_cast<T*>(storage_.data() + (64 - address % 64) % 64);
  }

 private:
  std::vector<uint8_t> storage_;
};

// Numbers in [-1, 1), the same on every machine.
void FillRandom(void* data, DType dtype, int64_t count, uint64_t seed) {
  uint64_t state = seed;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const auto top = static_cast<int32_t>(state >> 32);
    StoreElement(data, dtype, i, static_cast<float>(top) * 0x1p-31F);
  }
}

}  // namespace

bool DnnlGemm::Prepare(DType dtype, int64_t in_features, int64_t panels) {
  for (const Shape& shape : shapes_) {
    if (shape.dtype == dtype && shape.in_features == in_features && shape.panels == panels) {
      return shape.usable;
    }
  }
  Shape shape{dtype, in_features, panels, {}, true};
  for (size_t h = 0; h < kHeights.size(); ++h) {
    shape.products[h] = DnnlProduct::Make(dtype, in_features, kHeights[h], panels, num_threads_);
    shape.usable = shape.usable && shape.products[h] != nullptr;
  }
  shape.usable = shape.usable && HasOurBits(shape);
  shapes_.push_back(std::move(shape));
  return shapes_.back().usable;
}

const DnnlGemm::Shape* DnnlGemm::Find(DType dtype, int64_t in_features, int64_t panels) const {
  for (const Shape& shape : shapes_) {
    if (shape.dtype == dtype && shape.in_features == in_features && shape.panels == panels) {
      return shape.usable ? &shape : nullptr;
    }
  }
  return nullptr;
}

// Every number of every product is compared: with 256 rows of our kernels, whose rows do not depend
// on each other, and of which the lower products' x are the first.
bool DnnlGemm::HasOurBits(const Shape& shape) const {
  const int64_t columns = shape.panels * kPanelColumns;
  const auto element = static_cast<int64_t>(DTypeBytes(shape.dtype));
  Buffer x(kHeights[0] * shape.in_features * element);
  Buffer panels(columns * shape.in_features * element);
  FillRandom(x.data<void>(), shape.dtype, kHeights[0] * shape.in_features, 1);
  FillRandom(panels.data<void>(), shape.dtype, columns * shape.in_features, 2);
  Buffer ours(kHeights[0] * columns * sizeof(float));
  Buffer theirs(kHeights[0] * columns * sizeof(float));
  MultiplyByOurs(shape, x.data<char>(), panels.data<char>(), ours.data<float>());
  for (size_t h = 0; h < kHeights.size(); ++h) {
    shape.products[h]->Run(0, x.data<void>(), panels.data<void>(), theirs.data<float>());
    const size_t bytes = kHeights[h] * columns * sizeof(float);
    if (std::memcmp(theirs.data<void>(), ours.data<void>(), bytes) != 0) return false;
  }
  return true;
}

void DnnlGemm::MultiplyByOurs(const Shape& shape, const char* x, const char* panels,
                              float* y) const {
  const bool is_bf16 = shape.dtype == DType::kBFloat16;
  const auto element = static_cast<int64_t>(DTypeBytes(shape.dtype));
  const int64_t k = shape.in_features;
  const int64_t rows = kHeights[0];
  const int64_t blocks = CeilDiv(rows, kernels_.tile_rows);
  const int64_t row_numbers = is_bf16 && kernels_.packs_pairs ? k / 2 : k;
  Buffer packed(rows * row_numbers * sizeof(float));
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t row = rows * block / blocks;
    const auto count = static_cast<int>(rows * (block + 1) / blocks - row);
    kernels_.pack_rows[is_bf16](
        {x + row * k * element, k, k, k, count, packed.data<float>() + row * row_numbers});
  }
  const int64_t sums = rows * kPanelColumns;
  Buffer scratch((2 * sums + kWidenedRows * kPanelColumns) * sizeof(float));
  for (int64_t panel = 0; panel < shape.panels; ++panel) {
    PanelGemmArgs args{};
    args.packed_rows = packed.data<float>();
    args.rows = rows;
    args.num_blocks = blocks;
    args.block_end = blocks;
    args.in_features = k;
    args.padded_features = k;
    args.panel = panels + panel * kPanelColumns * k * element;
    args.next_panel = args.panel;
    args.columns = kPanelColumns;
    args.y = y + panel * kPanelColumns;
    args.y_stride = shape.panels * kPanelColumns;
    args.y_type = ElementType::kFloat32;
    args.sums = scratch.data<float>();
    args.chain = args.sums + sums;
    args.widened = args.chain + sums;
    kernels_.gemm[is_bf16](args);
  }
}

}  // namespace quire
