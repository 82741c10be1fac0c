// A batch over a paged cache as emulated kernels see it.
#ifndef QUIRE_TESTS_ATTENTION_EMULATED_KV_H_
#define QUIRE_TESTS_ATTENTION_EMULATED_KV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attention/attention.h"
#include "core/cuda/emulation/global_memory.h"
#include "tests/testing/emulated_matrix.h"

namespace quire::testing {

// Host memory that is global memory as long as this lives.
class EmulatedArguments {
 public:
  using State = emulation::GlobalRegion::ByteState;

  // Nothing where `data` is null.
  template <typename T>
  void Add(std::string name, const T* data, int64_t count, State state = State::kWritten) {
    if (data == nullptr) return;
    regions_.push_back(std::make_unique<emulation::GlobalRegion>(
        std::move(name), const_cast<T*>(data), count * static_cast<int64_t>(sizeof(T)), state));
  }
  template <typename T>
  void Add(std::string name, const DeviceArray<const T>& array) {
    Add(std::move(name), array.data, array.size);
  }
  void Add(std::string name, const DeviceMatrix& matrix, EmulatedMatrix::Use use) {
    if (matrix.data == nullptr) return;
    matrices_.push_back(std::make_unique<EmulatedMatrix>(std::move(name), matrix, use));
  }
  void Add(const RopeTable& rope) {
    if (rope.rotary_dim == 0) return;
    Add("cos", rope.cos, rope.num_rows * (rope.rotary_dim / 2));
    Add("sin", rope.sin, rope.num_rows * (rope.rotary_dim / 2));
  }
  // Pages in `state`, and gaps between them that nobody may touch.
  void Add(const PagedKvView& kv, State state) {
    const auto page_bytes = static_cast<int64_t>(kv.layout.page_bytes());
    Add("pages", static_cast<const char*>(kv.base),
        (kv.num_blocks - 1) * kv.page_stride_bytes + page_bytes, State::kForbidden);
    for (int64_t block = 0; block < kv.num_blocks; ++block) {
      regions_.back()->Mark(block * kv.page_stride_bytes, page_bytes, state);
    }
  }

  // Whether all matrices were written whole.
  bool AreMatricesWritten() const {
    for (const auto& matrix : matrices_) {
      if (!matrix->IsWritten()) return false;
    }
    return true;
  }

 private:
  std::vector<std::unique_ptr<emulation::GlobalRegion>> regions_;
  std::vector<std::unique_ptr<EmulatedMatrix>> matrices_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_EMULATED_KV_H_
