// Global memory: a pointer on the device, checked accesses in the emulation.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_GLOBAL_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_GLOBAL_CUH_

#include <type_traits>

#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// What an access tells the caches.
enum class Cache : uint8_t {
  kDefault,
  kReadOnly,  // nobody writes it while the kernel runs
  kStream,    // read or written once: first to go
  // Read-only, read once, and its neighbours are read too: past L1, in pieces of 256 bytes from
  // memory. For packs of 16 bytes; others are kReadOnly.
  kReadOnlyStream,
};

#if !QUIRE_EMULATED
namespace internal {

template <int kBytes>
struct WordOf;
template <>
struct WordOf<1> {
  using Type = unsigned char;
};
template <>
struct WordOf<2> {
  using Type = unsigned short;
};
template <>
struct WordOf<4> {
  using Type = unsigned int;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};

template <Cache kCache, typename Word>
QUIRE_DEVICE Word LoadWord(const Word* at) {
  if constexpr (kCache == Cache::kReadOnlyStream && sizeof(Word) == 16) {
    Word word;
    asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word.x), "=r"(word.y), "=r"(word.z), "=r"(word.w)
                 : "l"(at));
    return word;
  } else if constexpr (kCache == Cache::kReadOnly || kCache == Cache::kReadOnlyStream) {
    return __ldg(at);
  } else if constexpr (kCache == Cache::kStream) {
    return __ldcs(at);
  } else {
    return *at;
  }
}

template <Cache kCache, typename Word>
QUIRE_DEVICE void StoreWord(Word* at, const Word& word) {
  if constexpr (kCache == Cache::kStream) {
    __stcs(at, word);
  } else {
    *at = word;
  }
}

}  // namespace internal
#endif

// Numbers of type T in global memory, const T if they are only read. Made on the host of a device
// pointer. Indices are in elements; packs are aligned to their size.
template <typename T>
class Global {
 public:
  using Value = std::remove_const_t<T>;

  Global() = default;
  QUIRE_HOST_DEVICE explicit Global(T* data) : data_(data) {}
  template <typename U>
  requires std::is_same_v<T, const U> QUIRE_HOST_DEVICE Global(Global<U> other)
      : data_(other.data()) {}

  QUIRE_HOST_DEVICE bool is_null() const { return data_ == nullptr; }
  QUIRE_HOST_DEVICE T* data() const { return data_; }
  QUIRE_HOST_DEVICE Global operator+(int64_t offset) const { return Global(data_ + offset); }

  template <Cache kCache = Cache::kDefault>
  QUIRE_DEVICE Value Load(int64_t i, Place place = Place::Here()) const {
    return LoadPack<1, kCache>(i, place)[0];
  }
  template <int N, Cache kCache = Cache::kDefault>
  QUIRE_DEVICE Pack<Value, N> LoadPack(int64_t i,
                                       [[maybe_unused]] Place place = Place::Here()) const {
    static_assert(sizeof(Pack<Value, N>) <= 16);
#if QUIRE_EMULATED
    Pack<Value, N> pack;
    emulation::ReadGlobal(data_ + i, &pack, sizeof(pack), place);
    return pack;
#else
    using Word = typename internal::WordOf<sizeof(Pack<Value, N>)>::Type;
    return std::bit_cast<Pack<Value, N> >(
        internal::LoadWord<kCache>(reinterpret_cast<const Word*>(data_ + i)));
#endif
  }

  template <Cache kCache = Cache::kDefault>
  QUIRE_DEVICE void Store(int64_t i, Value value, Place place = Place::Here()) const {
    StorePack<1, kCache>(i, Pack<Value, 1>{{value}}, place);
  }
  template <int N, Cache kCache = Cache::kDefault>
  QUIRE_DEVICE void StorePack(int64_t i, const Pack<Value, N>& pack,
                              [[maybe_unused]] Place place = Place::Here()) const {
    static_assert(sizeof(pack) <= 16 && !std::is_const_v<T>);
#if QUIRE_EMULATED
    emulation::WriteGlobal(data_ + i, &pack, sizeof(pack), place);
#else
    using Word = typename internal::WordOf<sizeof(Pack<Value, N>)>::Type;
    internal::StoreWord<kCache>(reinterpret_cast<Word*>(data_ + i), std::bit_cast<Word>(pack));
#endif
  }

  // For int32_t and uint32_t: adds to the number and returns what it was. Sums of integers have no
  // order; floating-point ones do, so there is no such function for them.
  QUIRE_DEVICE Value AtomicAdd(int64_t i, Value value,
                               [[maybe_unused]] Place place = Place::Here()) const {
    static_assert(std::is_integral_v<Value> && sizeof(Value) == 4 && !std::is_const_v<T>);
#if QUIRE_EMULATED
    const Value before = Load(i, place);
    Store(i, before + value, place);
    return before;
#else
    return atomicAdd(data_ + i, value);
#endif
  }

  // Between blocks: what was written before a StoreRelease is there behind a LoadAcquire that sees
  // it. For 4 bytes.
  QUIRE_DEVICE Value LoadAcquire(int64_t i, [[maybe_unused]] Place place = Place::Here()) const {
    static_assert(std::is_integral_v<Value> && sizeof(Value) == 4);
#if QUIRE_EMULATED
    emulation::Yield();  // somebody may wait for it in a loop
    return Load(i, place);
#else
    Value value;
    asm volatile("ld.acquire.gpu.global.b32 %0, [%1];" : "=r"(value) : "l"(data_ + i) : "memory");
    return value;
#endif
  }
  QUIRE_DEVICE void StoreRelease(int64_t i, Value value,
                                 [[maybe_unused]] Place place = Place::Here()) const {
    static_assert(std::is_integral_v<Value> && sizeof(Value) == 4 && !std::is_const_v<T>);
#if QUIRE_EMULATED
    Store(i, value, place);
#else
    asm volatile("st.release.gpu.global.b32 [%0], %1;" ::"l"(data_ + i), "r"(value) : "memory");
#endif
  }

 private:
  T* data_ = nullptr;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_GLOBAL_CUH_
