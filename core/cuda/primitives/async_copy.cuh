// Copies from global to shared memory that go on beside the thread (cp.async, sm_80).
//
//   CopyAsync<16>(tile, i, x, j);  ...  CommitCopies();   // a group, per thread
//   WaitForCopies<1>();                                   // all groups but the last one are there
//   BlockBarrier();                                       // and now for the other threads too
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_ASYNC_COPY_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_ASYNC_COPY_CUH_

#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// kBytes (4, 8 or 16; aligned to it on both sides) from element j of `source` to element i of
// `target`: the first `source_bytes` of them, then zeros. With 0 nothing is read.
template <int kBytes, typename T, typename U>
QUIRE_DEVICE void CopyAsync(Shared<T> target, int i, Global<U> source, int64_t j,
                            int source_bytes = kBytes,
                            [[maybe_unused]] Place place = Place::Here()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  static_assert(std::is_same_v<T, std::remove_const_t<U>>);
#if QUIRE_EMULATED
  emulation::CopyAsync(target.Offset(i, kBytes, place), source.data() + j, kBytes, source_bytes,
                       place);
#else
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(target.Address(i)),
                 "l"(source.data() + j), "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target.Address(i)),
                 "l"(source.data() + j), "n"(kBytes), "r"(source_bytes)
                 : "memory");
  }
#endif
}

// Ends a group: the copies of this thread since the last one, maybe none.
QUIRE_DEVICE void CommitCopies() {
#if QUIRE_EMULATED
  emulation::CommitCopies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most the last kPending groups of this thread are under way.
template <int kPending>
QUIRE_DEVICE void WaitForCopies() {
#if QUIRE_EMULATED
  emulation::WaitForCopies(kPending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_ASYNC_COPY_CUH_
