#include "ops/cpu/dnnl_gemm.h"

#include <cstring>
#include <utility>

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
    return reinterpret_cast<T*>((address + 63) / 64 * 64);
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

// Of each height's product the first rows, as many as one block of our kernels has, and the first
// and the last panel are compared.
bool DnnlGemm::HasOurBits(const Shape& shape) const {
  const bool is_bf16 = shape.dtype == DType::kBFloat16;
  const int64_t k = shape.in_features;
  const int64_t columns = shape.panels * kPanelColumns;
  const auto element = static_cast<int64_t>(DTypeBytes(shape.dtype));
  const int64_t rows = kernels_.tile_rows;
  Buffer x(kHeights[0] * k * element);
  Buffer panels(columns * k * element);
  FillRandom(x.data<void>(), shape.dtype, kHeights[0] * k, 1);
  FillRandom(panels.data<void>(), shape.dtype, columns * k, 2);
  Buffer packed(rows * k * 4);
  kernels_.pack_rows[is_bf16](
      {x.data<void>(), k, k, k, static_cast<int>(rows), packed.data<float>()});
  Buffer scratch((2 * rows + kWidenedRows) * kPanelColumns * sizeof(float));
  Buffer ours(rows * kPanelColumns * sizeof(float));
  Buffer theirs(kHeights[0] * columns * sizeof(float));
  for (int64_t panel : {int64_t{0}, shape.panels - 1}) {
    GemmArgs args{};
    args.packed_rows = packed.data<float>();
    args.rows = rows;
    args.num_blocks = 1;
    args.block_end = 1;
    args.in_features = k;
    args.padded_features = k;
    args.panel = panels.data<char>() + panel * kPanelColumns * k * element;
    args.next_panel = args.panel;
    args.columns = kPanelColumns;
    args.y = ours.data<void>();
    args.y_stride = kPanelColumns;
    args.y_type = ElementType::kFloat32;
    args.sums = scratch.data<float>();
    args.chain = args.sums + rows * kPanelColumns;
    args.widened = args.chain + rows * kPanelColumns;
    kernels_.gemm[is_bf16](args);
    for (const std::unique_ptr<DnnlProduct>& product : shape.products) {
      product->Run(0, x.data<void>(), panels.data<void>(), theirs.data<float>());
      for (int64_t row = 0; row < rows; ++row) {
        const float* their_row = theirs.data<float>() + row * columns + panel * kPanelColumns;
        const float* our_row = ours.data<float>() + row * kPanelColumns;
        if (std::memcmp(their_row, our_row, kPanelColumns * sizeof(float)) != 0) return false;
      }
    }
  }
  return true;
}

}  // namespace quire
