// Cuts a row without sorting it: the last element that a restriction keeps, in the order of
// logit_row.cuh, is found by histograms. The first one has bins of equal width below the greatest
// element; then those of the bin that holds the cut are told apart, among themselves if they are
// few, else by a histogram over the bits of their order. One block owns a row. Each step reads it
// once: 4 bytes and a few integer operations an element, where weights are summed some 30.
#ifndef QUIRE_OPS_CUDA_SELECT_CUH_
#define QUIRE_OPS_CUDA_SELECT_CUH_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_scan.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/logit_row.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kBinsPerThread = 2;
inline constexpr int kListSize = 256;

// Shared memory of a block that cuts rows.
struct SelectMemory {
  Shared<uint64_t> weights;       // [bins]
  Shared<uint32_t> counts;        // [bins]
  Shared<uint64_t> list;          // [kListSize], orders of elements
  Shared<uint64_t> list_weights;  // [kListSize]
  Shared<uint32_t> list_count;    // [1]
  Shared<uint64_t> scratch;       // [warps]
  Shared<uint64_t> found;         // [2], what one thread found for all

  QUIRE_DEVICE static SelectMemory Take(SharedMemory& memory) {
    return {memory.Take<uint64_t>(kBinsPerThread * BlockThreads()),
            memory.Take<uint32_t>(kBinsPerThread * BlockThreads()),
            memory.Take<uint64_t>(kListSize),
            memory.Take<uint64_t>(kListSize),
            memory.Take<uint32_t>(1),
            memory.Take<uint64_t>(BlockWarps()),
            memory.Take<uint64_t>(2)};
  }
  // On the host.
  static size_t Bytes(int threads) {
    return SharedBytes<uint64_t>(kBinsPerThread * threads) +
           SharedBytes<uint32_t>(kBinsPerThread * threads) + 2 * SharedBytes<uint64_t>(kListSize) +
           SharedBytes<uint32_t>(1) + SharedBytes<uint64_t>(threads / kWarpLanes) +
           SharedBytes<uint64_t>(2);
  }
};

// Elements of the order [first, last].
struct OrderInterval {
  uint64_t first;
  uint64_t last;

  QUIRE_DEVICE bool Has(uint64_t order) const { return order >= first && order <= last; }
};

// What a cut is measured in: elements, or their weights, where those without weight do not count.
enum class Measure : uint8_t { kCount, kWeight };

// Of one row whose first element is finite. All threads of the block call its functions.
class RowSelect {
 public:
  QUIRE_DEVICE RowSelect(const LogitRow& row, ElementOrder order, uint64_t first, float scale,
                         const SelectMemory& memory)
      : row_(row),
        order_(order),
        weighing_{OfRank(order.Rank(first)), scale},
        first_rank_(order.Rank(first)),
        bins_(kBinsPerThread * BlockThreads()),
        memory_(memory) {
    // Behind the last bin is what lies 42 or more below the greatest in t = (y - max) * scale.
    const float bins_per_unit = ExactMultiply(static_cast<float>(bins_) / 42.0F, scale);
    bins_per_unit_ = bins_per_unit < kMaxFloat ? bins_per_unit : kMaxFloat;
  }

  QUIRE_DEVICE const Weighing& weighing() const { return weighing_; }

  // Where the first `count` elements up to `limit` end; `limit` if there are no more. Unless
  // `weightless` ones matter, it may be `limit` too if all behind them have no weight.
  QUIRE_DEVICE uint64_t CutAtCount(uint64_t count, uint64_t limit, bool weightless) {
    return Cut<Measure::kCount>([&](uint64_t /*total*/) { return count; }, limit, weightless);
  }
  // Where the shortest run ends whose weights reach top_p of those up to `limit`.
  QUIRE_DEVICE uint64_t CutAtShare(float top_p, uint64_t limit) {
    return Cut<Measure::kWeight>([&](uint64_t total) { return TopPTarget(top_p, total); }, limit,
                                 /*weightless=*/false);
  }
  // Puts the orders of the elements up to `cut`, at most kListSize, into the list, and returns
  // their number.
  QUIRE_DEVICE int ListUpTo(uint64_t cut) { return List<Measure::kCount>({0, cut}); }

 private:
  static constexpr float kMaxFloat = std::bit_cast<float>(0x7f7fffffU);

  // The bin in which the measure reaches what is needed.
  struct Found {
    bool any;         // else they do not reach it
    int bin;          //
    uint64_t needed;  // of what is in it, or behind all of them
  };

  // Rises with the rank, up to bins_: there is the tail, which has no weight, infinities and NaN.
  QUIRE_DEVICE int BinOf(float y) const {
    const float bin = ExactMultiply(weighing_.max - y, bins_per_unit_);
    return bin < static_cast<float>(bins_) ? static_cast<int>(bin) : bins_;
  }
  // The first rank from first_rank_ on that is in `bin` or behind it.
  QUIRE_DEVICE uint32_t FirstRankOf(int bin) const {
    uint32_t low = first_rank_, high = kRankOfNan;
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (BinOf(OfRank(middle)) >= bin) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  template <Measure kMeasure>
  QUIRE_DEVICE uint64_t MeasureOf(int bin) const {
    return kMeasure == Measure::kWeight ? memory_.weights.Load(bin) : memory_.counts.Load(bin);
  }

  // bin_of(y, order) of the elements in the interval; bins_ is none.
  template <Measure kMeasure, typename Bins>
  QUIRE_DEVICE void Fill(OrderInterval in, Bins bin_of) {
    BlockBarrier();
    for (int i = 0; i < kBinsPerThread; ++i) {
      const int bin = ThreadIndex() * kBinsPerThread + i;
      memory_.counts.Store(bin, 0);
      if (kMeasure == Measure::kWeight) memory_.weights.Store(bin, 0);
    }
    BlockBarrier();
    row_.ForEach([&](int id, float y) {
      const uint64_t order = order_.Of(y, id);
      if (!in.Has(order)) return;
      const int bin = bin_of(y, order);
      if (bin == bins_) return;
      if (kMeasure == Measure::kWeight) {
        const uint64_t weight = weighing_(y);
        if (weight == 0) return;
        memory_.weights.AtomicAddWide(bin, weight);
      }
      memory_.counts.AtomicAdd(bin, 1);
    });
    BlockBarrier();
  }

  // needed_of(the sum over all bins), at least 1, is what the running sum over bins has to reach.
  template <Measure kMeasure, typename Needed>
  QUIRE_DEVICE Found Find(Needed needed_of) {
    static_assert(kBinsPerThread == 2);
    const int bin = ThreadIndex() * kBinsPerThread;
    const uint64_t here[] = {MeasureOf<kMeasure>(bin), MeasureOf<kMeasure>(bin + 1)};
    const PrefixSum<uint64_t> sum = BlockPrefixSum(here[0] + here[1], memory_.scratch);
    const uint64_t needed = needed_of(sum.total);
    if (sum.total < needed) return {false, 0, needed - sum.total};
    uint64_t before = sum.before;
    for (int i = 0; i < kBinsPerThread; ++i) {
      if (before < needed && needed <= before + here[i]) {
        memory_.found.Store(0, bin + i);
        memory_.found.Store(1, needed - before);
      }
      before += here[i];
    }
    BlockBarrier();
    return {true, static_cast<int>(memory_.found.Load(0)), memory_.found.Load(1)};
  }

  template <Measure kMeasure, typename Needed>
  QUIRE_DEVICE uint64_t Cut(Needed needed_of, uint64_t limit, bool weightless) {
    Fill<kMeasure>({0, limit}, [&](float y, uint64_t) { return BinOf(y); });
    Found found = Find<kMeasure>(needed_of);
    if (!found.any && !weightless) return limit;
    OrderInterval in{order_.First(FirstRankOf(found.any ? found.bin : bins_)), limit};
    if (found.any) in.last = Minimum()(limit, order_.First(FirstRankOf(found.bin + 1)) - 1);
    while (true) {
      if (found.any) {
        const uint32_t count = memory_.counts.Load(found.bin);
        if (count == 1 || MeasureOf<kMeasure>(found.bin) == found.needed) return in.last;
        if (count <= kListSize) return CutOfList<kMeasure>(in, found.needed);
      }
      int shift = 0;
      while ((in.last - in.first) >> shift >= static_cast<uint64_t>(bins_)) ++shift;
      Fill<kMeasure>(
          in, [&](float, uint64_t order) { return static_cast<int>((order - in.first) >> shift); });
      found = Find<kMeasure>([&](uint64_t) { return found.needed; });
      if (!found.any) return limit;
      in.first += static_cast<uint64_t>(found.bin) << shift;
      in.last = Minimum()(in.last, in.first + (uint64_t{1} << shift) - 1);
    }
  }

  // Lists the elements of the interval, in any order, as ListUpTo does.
  template <Measure kMeasure>
  QUIRE_DEVICE int List(OrderInterval in) {
    if (ThreadIndex() == 0) memory_.list_count.Store(0, 0);
    BlockBarrier();
    row_.ForEach([&](int id, float y) {
      const uint64_t order = order_.Of(y, id);
      if (!in.Has(order)) return;
      const uint64_t weight = kMeasure == Measure::kWeight ? weighing_(y) : 1;
      if (weight == 0) return;
      const int place = static_cast<int>(memory_.list_count.AtomicAdd(0, 1));
      memory_.list.Store(place, order);
      if (kMeasure == Measure::kWeight) memory_.list_weights.Store(place, weight);
    });
    BlockBarrier();
    return static_cast<int>(memory_.list_count.Load(0));
  }

  // By what lies before each, whatever their places in the list are.
  template <Measure kMeasure>
  QUIRE_DEVICE uint64_t CutOfList(OrderInterval in, uint64_t needed) {
    const int count = List<kMeasure>(in);
    const auto measure = [&](int i) {
      return kMeasure == Measure::kWeight ? memory_.list_weights.Load(i) : 1;
    };
    for (int i = ThreadIndex(); i < count; i += BlockThreads()) {
      const uint64_t order = memory_.list.Load(i);
      uint64_t before = 0;
      for (int j = 0; j < count; ++j) {
        if (memory_.list.Load(j) < order) before += measure(j);
      }
      if (before < needed && needed <= before + measure(i)) memory_.found.Store(0, order);
    }
    BlockBarrier();
    return memory_.found.Load(0);
  }

  const LogitRow& row_;
  ElementOrder order_;
  Weighing weighing_;
  uint32_t first_rank_;
  int bins_;
  float bins_per_unit_;
  const SelectMemory& memory_;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_SELECT_CUH_
