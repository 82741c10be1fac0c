// What the lanes of a warp do together. All lanes named in `mask` call it, from the same place.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_WARP_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_WARP_CUH_

#include <cstring>
#include <string>
#include <type_traits>

#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

#if QUIRE_EMULATED
namespace internal {

struct ShuffleFrame {
  uint64_t value;
  int source;  // a lane
  uint64_t result;
};

inline std::string CompleteShuffle(void* const* frames, uint32_t mask) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (((mask >> lane) & 1U) == 0) continue;
    auto* frame = static_cast<ShuffleFrame*>(frames[lane]);
    if (((mask >> frame->source) & 1U) == 0) {
      return "completes a shuffle in which lane " + std::to_string(lane) + " reads lane " +
             std::to_string(frame->source) + ", which the mask lacks";
    }
    frame->result = static_cast<const ShuffleFrame*>(frames[frame->source])->value;
  }
  return {};
}

template <typename T>
T Shuffle(const char* name, T value, int source, uint32_t mask, Place place) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  ShuffleFrame frame{0, source, 0};
  std::memcpy(&frame.value, &value, sizeof(T));
  emulation::WarpCollective(name, mask, &frame, &CompleteShuffle, place);
  T result;
  std::memcpy(&result, &frame.result, sizeof(T));
  return result;
}

struct VoteFrame {
  bool vote;
  uint32_t result;
};

inline std::string CompleteBallot(void* const* frames, uint32_t mask) {
  uint32_t votes = 0;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (((mask >> lane) & 1U) == 0) continue;
    votes |= uint32_t{static_cast<const VoteFrame*>(frames[lane])->vote} << lane;
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (((mask >> lane) & 1U) != 0) static_cast<VoteFrame*>(frames[lane])->result = votes;
  }
  return {};
}

}  // namespace internal
#endif

// The value of lane (own lane ^ lanes). T has 4 or 8 bytes, here and below.
template <typename T>
QUIRE_DEVICE T ShuffleXor(T value, int lanes, uint32_t mask = kAllLanes,
                          [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  return internal::Shuffle("ShuffleXor", value, LaneIndex() ^ lanes, mask, place);
#else
  return __shfl_xor_sync(mask, value, lanes);
#endif
}

// The value of lane (own lane + lanes), the own one where there is none.
template <typename T>
QUIRE_DEVICE T ShuffleDown(T value, int lanes, uint32_t mask = kAllLanes,
                           [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  const int source = LaneIndex() + lanes;
  return internal::Shuffle("ShuffleDown", value, source < kWarpLanes ? source : LaneIndex(), mask,
                           place);
#else
  return __shfl_down_sync(mask, value, lanes);
#endif
}

// The value of lane (own lane - lanes), the own one where there is none.
template <typename T>
QUIRE_DEVICE T ShuffleUp(T value, int lanes, uint32_t mask = kAllLanes,
                         [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  const int source = LaneIndex() - lanes;
  return internal::Shuffle("ShuffleUp", value, source >= 0 ? source : LaneIndex(), mask, place);
#else
  return __shfl_up_sync(mask, value, lanes);
#endif
}

// The value of lane `lane`, 0 to 31.
template <typename T>
QUIRE_DEVICE T ShuffleFrom(T value, int lane, uint32_t mask = kAllLanes,
                           [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  return internal::Shuffle("ShuffleFrom", value, lane & (kWarpLanes - 1), mask, place);
#else
  return __shfl_sync(mask, value, lane);
#endif
}

// Bit i is lane i's vote.
QUIRE_DEVICE uint32_t Ballot(bool vote, uint32_t mask = kAllLanes,
                             [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  internal::VoteFrame frame{vote, 0};
  emulation::WarpCollective("Ballot", mask, &frame, &internal::CompleteBallot, place);
  return frame.result;
#else
  return __ballot_sync(mask, vote);
#endif
}
QUIRE_DEVICE bool AnyLane(bool vote, uint32_t mask = kAllLanes, Place place = Place::Here()) {
  return Ballot(vote, mask, place) != 0;
}
QUIRE_DEVICE bool AllLanes(bool vote, uint32_t mask = kAllLanes, Place place = Place::Here()) {
  return Ballot(vote, mask, place) == mask;
}

struct Plus {
  template <typename T>
  QUIRE_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN where one of them is.
struct Maximum {
  QUIRE_DEVICE float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

// combine() over each group of kLanes neighbouring lanes (a power of two), in all of its lanes the
// same bits: as a tree, the farthest lanes first.
template <int kLanes = kWarpLanes, typename T, typename Combine>
QUIRE_DEVICE T WarpReduce(T value, Combine combine, Place place = Place::Here()) {
  QUIRE_UNROLL
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
    value = combine(value, ShuffleXor(value, lanes, kAllLanes, place));
  }
  return value;
}

// The greatest number of the warp's, in all lanes.
QUIRE_DEVICE uint32_t WarpGreatest(uint32_t value, [[maybe_unused]] Place place = Place::Here()) {
#if QUIRE_EMULATED
  return WarpReduce(
      value, [](uint32_t a, uint32_t b) { return a > b ? a : b; }, place);
#else
  return __reduce_max_sync(kAllLanes, value);
#endif
}

// The sum of integers over the lanes up to this one, it included.
template <typename T>
QUIRE_DEVICE T WarpPrefixSum(T value, Place place = Place::Here()) {
  static_assert(std::is_integral_v<T>);
  QUIRE_UNROLL
  for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) {
    const T before = ShuffleUp(value, lanes, kAllLanes, place);
    if (LaneIndex() >= lanes) value += before;
  }
  return value;
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_WARP_CUH_
