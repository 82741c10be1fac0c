// Shared memory of a block: dynamic, cut into pieces that the emulation holds apart.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_SHARED_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_SHARED_CUH_

#include <cstddef>
#include <string>
#include <type_traits>

#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Every piece begins at a multiple of this (swizzled tiles of copy engines want 1024: SharedMemory
// takes such pieces first).
inline constexpr size_t kSharedAlignment = 16;

// What `count` numbers take of LaunchShape::shared_bytes.
template <typename T>
constexpr size_t SharedBytes(int64_t count) {
  return (static_cast<size_t>(count) * sizeof(T) + kSharedAlignment - 1) / kSharedAlignment *
         kSharedAlignment;
}

// A piece of it. Indices in elements; packs are aligned to their size.
template <typename T>
class Shared {
 public:
  QUIRE_DEVICE T Load(int i, Place place = Place::Here()) const { return LoadPack<1>(i, place)[0]; }
  QUIRE_DEVICE void Store(int i, T value, Place place = Place::Here()) const {
    StorePack<1>(i, Pack<T, 1>{{value}}, place);
  }

#if QUIRE_EMULATED
  // The bytes [offset, offset + bytes) of the block's shared memory.
  Shared(int64_t offset, int64_t bytes) : offset_(offset), bytes_(bytes) {}

  template <int N>
  Pack<T, N> LoadPack(int i, Place place = Place::Here()) const {
    Pack<T, N> pack;
    emulation::ReadShared(Offset(i, sizeof(pack), place), &pack, sizeof(pack), place);
    return pack;
  }
  template <int N>
  void StorePack(int i, const Pack<T, N>& pack, Place place = Place::Here()) const {
    emulation::WriteShared(Offset(i, sizeof(pack), place), &pack, sizeof(pack), place);
  }
  T AtomicAdd(int i, T value, Place place = Place::Here()) const {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);
    return Add(i, value, place);
  }
  void AtomicAddWide(int i, T value, Place place = Place::Here()) const {
    static_assert(std::is_same_v<T, uint64_t>);
    Add(i, value, place);
  }
  // The elements from `begin` on.
  Shared operator+(int begin) const {
    return Shared(offset_ + begin * int64_t{sizeof(T)}, bytes_ - begin * int64_t{sizeof(T)});
  }
  template <typename U>
  Shared<U> As() const {
    return Shared<U>(offset_, bytes_);
  }
  // For primitives: where element `i` lies, `bytes` from it being within the piece.
  int64_t Offset(int i, int bytes, Place place) const {
    const int64_t begin = i * int64_t{sizeof(T)};
    if (begin < 0 || begin + bytes > bytes_) {
      emulation::Fail("touches " + std::to_string(bytes) + " bytes at element " +
                          std::to_string(i) + " of a shared piece of " +
                          std::to_string(bytes_ / int64_t{sizeof(T)}) + ", out of bounds",
                      place);
    }
    return offset_ + begin;
  }

 private:
  T Add(int i, T value, Place place) const {
    struct Sum {
      T term, before;
    } sum{value, 0};
    emulation::ChangeShared(
        Offset(i, sizeof(T), place), sizeof(T),
        [](void* at, void* context) {
          auto& add = *static_cast<Sum*>(context);
          add.before = *static_cast<T*>(at);
          *static_cast<T*>(at) = add.before + add.term;
        },
        &sum, place);
    return sum.before;
  }

  int64_t offset_;
  int64_t bytes_;
#else
  QUIRE_DEVICE explicit Shared(T* data) : data_(data) {}

  template <int N>
  QUIRE_DEVICE Pack<T, N> LoadPack(int i, Place = {}) const {
    static_assert(sizeof(Pack<T, N>) <= 16);
    return *reinterpret_cast<const Pack<T, N>*>(data_ + i);
  }
  template <int N>
  QUIRE_DEVICE void StorePack(int i, const Pack<T, N>& pack, Place = {}) const {
    static_assert(sizeof(pack) <= 16);
    *reinterpret_cast<Pack<T, N>*>(data_ + i) = pack;
  }
  // As Global::AtomicAdd.
  QUIRE_DEVICE T AtomicAdd(int i, T value, Place = {}) const {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);
    return atomicAdd(data_ + i, value);
  }
  // For uint64_t, in halves: the sum is whole behind a barrier.
  QUIRE_DEVICE void AtomicAddWide(int i, T value, Place = {}) const {
    static_assert(std::is_same_v<T, uint64_t>);
    auto* halves = reinterpret_cast<uint32_t*>(data_ + i);
    const auto low = static_cast<uint32_t>(value);
    const uint32_t before = atomicAdd(halves, low);
    const auto high = static_cast<uint32_t>(value >> 32) + (before + low < before ? 1U : 0U);
    if (high != 0) atomicAdd(halves + 1, high);
  }
  QUIRE_DEVICE Shared operator+(int begin) const { return Shared(data_ + begin); }
  template <typename U>
  QUIRE_DEVICE Shared<U> As() const {
    return Shared<U>(reinterpret_cast<U*>(data_));
  }
  // For primitives: the address of element `i` as PTX's shared instructions take it.
  QUIRE_DEVICE uint32_t Address(int i) const {
    // (In 32 bits: half the registers of a pointer.)
    return static_cast<uint32_t>(__cvta_generic_to_shared(data_)) +
           static_cast<uint32_t>(i) * static_cast<uint32_t>(sizeof(T));
  }

 private:
  T* data_;
#endif
};

// Deals out the block's shared memory, in the same order in each thread:
//
//   SharedMemory memory;
//   const Shared<bf16> tile = memory.Take<bf16>(64 * 128);
//   const Shared<float> sums = memory.Take<float>(BlockWarps());
class SharedMemory {
 public:
  template <typename T>
  QUIRE_DEVICE Shared<T> Take(int count, [[maybe_unused]] Place place = Place::Here()) {
    const int begin = used_;
    used_ += static_cast<int>(SharedBytes<T>(count));
#if QUIRE_EMULATED
    if (used_ > emulation::SharedBytes()) {
      emulation::Fail("takes " + std::to_string(used_) +
                          " bytes of shared memory; it was launched with " +
                          std::to_string(emulation::SharedBytes()),
                      place);
    }
    return Shared<T>(begin, count * int64_t{sizeof(T)});
#else
    extern __shared__ __align__(1024) unsigned char quire_shared_memory[];
    return Shared<T>(reinterpret_cast<T*>(quire_shared_memory + begin));
#endif
  }

 private:
  int used_ = 0;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_SHARED_CUH_
