// Global memory for emulated kernels.
#ifndef QUIRE_CORE_CUDA_EMULATION_GLOBAL_BUFFER_H_
#define QUIRE_CORE_CUDA_EMULATION_GLOBAL_BUFFER_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/cuda/emulation/global_memory.h"

namespace quire::emulation {

// Owns `count` numbers as a device allocation: aligned to 256 bytes, with room that nobody may
// touch before and behind them. Poison (NaN, -1) until written.
template <typename T>
class GlobalBuffer {
 public:
  GlobalBuffer(std::string name, int64_t count)
      : count_(count),
        storage_(std::make_unique<char[]>(count * sizeof(T) + 3 * kZone)),
        data_(reinterpret_cast<T*>(Aligned(storage_.get() + kZone))),
        region_(std::move(name), data_, count * sizeof(T), GlobalRegion::ByteState::kUnwritten) {
    std::memset(storage_.get(), 0xff, count * sizeof(T) + 3 * kZone);
  }
  GlobalBuffer(std::string name, const std::vector<T>& values)
      : GlobalBuffer(std::move(name), static_cast<int64_t>(values.size())) {
    std::copy(values.begin(), values.end(), data_);
    region_.Mark(0, count_ * sizeof(T), GlobalRegion::ByteState::kWritten);
  }

  // Forbids what lies between rows of `cols` numbers that begin `stride` numbers apart.
  GlobalBuffer& ForbidGaps(int64_t cols, int64_t stride) {
    for (int64_t at = cols; at < count_; at += stride) {
      region_.Mark(at * sizeof(T), std::min(stride - cols, count_ - at) * sizeof(T),
                   GlobalRegion::ByteState::kForbidden);
    }
    return *this;
  }

  int64_t size() const { return count_; }
  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }
  bool IsWritten(int64_t begin, int64_t end) const {
    return region_.IsWritten(begin * sizeof(T), (end - begin) * sizeof(T));
  }

 private:
  static constexpr uintptr_t kZone = 256;

  static char* Aligned(char* at) {
    return at + (kZone - reinterpret_cast<uintptr_t>(at) % kZone) % kZone;
  }

  int64_t count_;
  std::unique_ptr<char[]> storage_;
  T* data_;
  GlobalRegion region_;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_GLOBAL_BUFFER_H_
