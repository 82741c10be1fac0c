// What kernels of sampler.h know of a row of logits: a walk over it, the order of its elements (y
// descending, id ascending) as integers, and their weights. All results are integers, so neither
// the number of threads nor alignment has a part in them.
#ifndef QUIRE_OPS_CUDA_LOGIT_ROW_CUH_
#define QUIRE_OPS_CUDA_LOGIT_ROW_CUH_

#include <bit>
#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/block_reduce.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/sampling_math.h"

namespace quire::QUIRE_CUDA_TARGET {

// The rank of a number: the greater, the lower. -0 is 0, and NaN comes last.
inline constexpr uint32_t kRankOfInfinity = 0x007fffff;
inline constexpr uint32_t kRankOfMinusInfinity = 0xff800000;
inline constexpr uint32_t kRankOfNan = 0xffffffff;

QUIRE_DEVICE uint32_t RankOf(float y) {
  if (y != y) return kRankOfNan;
  if (y == 0.0F) return 0x7fffffff;
  const uint32_t bits = std::bit_cast<uint32_t>(y);
  return (bits >> 31) != 0 ? bits : ~bits & 0x7fffffff;
}
QUIRE_DEVICE float OfRank(uint32_t rank) {
  return std::bit_cast<float>((rank >> 31) != 0 ? rank : ~rank & 0x7fffffff);
}
QUIRE_DEVICE bool IsFiniteRank(uint32_t rank) {
  return rank > kRankOfInfinity && rank < kRankOfMinusInfinity;
}

// Elements as integers that sort as (y descending, id ascending): the rank above the id.
class ElementOrder {
 public:
  QUIRE_DEVICE explicit ElementOrder(int id_bits) : id_bits_(id_bits) {}

  QUIRE_DEVICE uint64_t Of(float y, int id) const { return First(RankOf(y)) | id; }
  QUIRE_DEVICE uint64_t First(uint32_t rank) const { return uint64_t{rank} << id_bits_; }
  QUIRE_DEVICE uint64_t Last(uint32_t rank) const { return First(rank) | IdMask(); }
  QUIRE_DEVICE uint32_t Rank(uint64_t order) const {
    return static_cast<uint32_t>(order >> id_bits_);
  }
  QUIRE_DEVICE int Id(uint64_t order) const { return static_cast<int>(order & IdMask()); }

 private:
  QUIRE_DEVICE uint64_t IdMask() const { return (uint64_t{1} << id_bits_) - 1; }

  int id_bits_;
};

// ExpWeight with everything but y fixed.
struct Weighing {
  float max;
  float scale;

  QUIRE_DEVICE uint64_t operator()(float y) const {
    return Exp2Weight(ExactMultiply(y - max, scale));
  }
};

// A row.
class LogitRow {
 public:
  QUIRE_DEVICE LogitRow(Global<const float> y, int size) : y_(y), size_(size) {}

  QUIRE_DEVICE int size() const { return size_; }
  QUIRE_DEVICE float Load(int id) const { return y_.Load(id); }

  // visit(id, y) for each element, by all threads of the block: packs of 16 bytes, several at a
  // time under way, then what is left of the row before the first of them and behind the last.
  template <typename Visit>
  QUIRE_DEVICE void ForEach(Visit visit) const {
    constexpr int kPack = 4, kBatch = 4;
    const int misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(y_.data()) / 4 % kPack);
    const int wanted_head = (kPack - misaligned) % kPack;
    const int head = wanted_head < size_ ? wanted_head : size_;
    const int packs = (size_ - head) / kPack;
    const int stride = BlockThreads();
    for (int first = ThreadIndex(); first < packs; first += kBatch * stride) {
      Pack<float, kPack> batch[kBatch] = {};
      QUIRE_UNROLL
      for (int i = 0; i < kBatch; ++i) {
        const int pack = first + i * stride;
        if (pack < packs) batch[i] = y_.LoadPack<kPack>(head + pack * kPack);
      }
      QUIRE_UNROLL
      for (int i = 0; i < kBatch; ++i) {
        const int pack = first + i * stride;
        if (pack >= packs) continue;
        QUIRE_UNROLL
        for (int k = 0; k < kPack; ++k) visit(head + pack * kPack + k, batch[i][k]);
      }
    }
    for (int i = ThreadIndex(); i < size_ - packs * kPack; i += stride) {
      const int id = i < head ? i : i + packs * kPack;
      visit(id, Load(id));
    }
  }

 private:
  Global<const float> y_;
  int size_;
};

struct Minimum {
  QUIRE_DEVICE uint64_t operator()(uint64_t a, uint64_t b) const { return a < b ? a : b; }
};

// The first element in the order. `scratch` as BlockReduce's.
QUIRE_DEVICE uint64_t FirstElement(const LogitRow& row, ElementOrder order,
                                   Shared<uint64_t> scratch) {
  uint64_t first = order.Last(kRankOfNan);
  row.ForEach([&](int id, float y) { first = Minimum()(first, order.Of(y, id)); });
  return BlockReduce(first, Minimum(), scratch);
}

// On the host. Blocks take a power of two of threads that follows from V alone, about 32 ids each.
inline int SampleThreads(int64_t vocab_size) {
  int threads = kWarpLanes;
  while (threads < kMaxBlockThreads && threads * int64_t{32} < vocab_size) threads *= 2;
  return threads;
}
// How many bits an id takes.
inline int IdBits(int64_t vocab_size) {
  int bits = 0;
  while ((int64_t{1} << bits) < vocab_size) ++bits;
  return bits;
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_LOGIT_ROW_CUH_
