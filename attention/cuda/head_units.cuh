// Heads in registers. The lanes of a group hold one head as units of 16 numbers: 8 pairs that turn
// together, or 16 numbers that pass through. So no number has to move to another lane, whatever
// the layout of the rotation.
//
// Which lane holds what, and so the order of a norm's sums, follows from the head's shape alone.
#ifndef QUIRE_ATTENTION_CUDA_HEAD_UNITS_CUH_
#define QUIRE_ATTENTION_CUDA_HEAD_UNITS_CUH_

#include <cstdint>

#include "attention/cuda/rope_args.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/chunks.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Which numbers of a head turn together.
struct HeadShape {
  int dim = 0;         // D
  int rotary_dim = 0;  // dims from it on pass through
  bool interleaved = false;

  QUIRE_HOST_DEVICE int num_pairs() const { return rotary_dim / 2; }
  QUIRE_HOST_DEVICE int rotated_units() const { return (num_pairs() + kChunk - 1) / kChunk; }
  QUIRE_HOST_DEVICE int passed_units() const {
    return (dim - rotary_dim + 2 * kChunk - 1) / (2 * kChunk);
  }
  QUIRE_HOST_DEVICE int units() const { return rotated_units() + passed_units(); }
};

// Two chunks of a head.
struct HeadUnit {
  int begin[2];
  int count[2];
  int first_pair;  // -1: passes through
  float values[2][kChunk];
};

QUIRE_DEVICE int ClampToChunk(int count) {
  return count < 0 ? 0 : (count < kChunk ? count : kChunk);
}

// Unit `index` of the shape, without its numbers.
QUIRE_DEVICE HeadUnit PlaceUnit(const HeadShape& shape, int index) {
  HeadUnit unit;
  int end = shape.rotary_dim;
  const int passed = index - shape.rotated_units();
  if (passed >= 0) {
    end = shape.dim;
    unit.first_pair = -1;
    unit.begin[0] = shape.rotary_dim + passed * kChunk;
    unit.begin[1] = unit.begin[0] + shape.passed_units() * kChunk;
  } else {
    unit.first_pair = index * kChunk;
    unit.begin[0] = unit.first_pair * (shape.interleaved ? 2 : 1);
    unit.begin[1] = unit.begin[0] + (shape.interleaved ? kChunk : shape.num_pairs());
  }
  unit.count[1] = ClampToChunk(end - unit.begin[1]);
  // Each first number of a half-split pair has its second one.
  unit.count[0] =
      passed < 0 && !shape.interleaved ? unit.count[1] : ClampToChunk(end - unit.begin[0]);
  return unit;
}

template <typename T>
QUIRE_DEVICE HeadUnit LoadUnit(Global<const T> head, const HeadShape& shape, int index) {
  HeadUnit unit = PlaceUnit(shape, index);
  QUIRE_UNROLL
  for (int i = 0; i < 2; ++i) {
    LoadAnyChunk(head, unit.begin[i], unit.count[i], unit.values[i]);
  }
  return unit;
}

template <typename T>
QUIRE_DEVICE void StoreUnit(Global<T> head, const HeadUnit& unit) {
  QUIRE_UNROLL
  for (int i = 0; i < 2; ++i) {
    StoreAnyChunk(head, unit.begin[i], unit.count[i], unit.values[i]);
  }
}

// The rotation tables on the device.
struct Rotation {
  Global<const float> cos;
  Global<const float> sin;
  int64_t num_rows;

  QUIRE_HOST_DEVICE explicit Rotation(const RopeArgs& args)
      : cos(args.cos), sin(args.sin), num_rows(args.num_rows) {}
};

QUIRE_DEVICE void Turn(float& a, float& b, float cos, float sin) {
  const float turned = Fma(a, cos, -(b * sin));
  b = Fma(b, cos, a * sin);
  a = turned;
}

// What the pairs of a unit turn by.
struct UnitAngles {
  float cos[kChunk];
  float sin[kChunk];
};

// Those of row `row`. A unit that passes through has none.
QUIRE_DEVICE UnitAngles LoadAngles(const HeadUnit& unit, const HeadShape& shape,
                                   const Rotation& rotation, int64_t row) {
  UnitAngles angles{};
  if (unit.first_pair < 0) return angles;
  DeviceCheck(row >= 0 && row < rotation.num_rows);
  const int64_t begin = row * shape.num_pairs();
  const int count = ClampToChunk(shape.num_pairs() - unit.first_pair);
  LoadAnyChunk<Cache::kReadOnly>(rotation.cos + begin, unit.first_pair, count, angles.cos);
  LoadAnyChunk<Cache::kReadOnly>(rotation.sin + begin, unit.first_pair, count, angles.sin);
  return angles;
}

QUIRE_DEVICE void RotateUnit(HeadUnit& unit, const HeadShape& shape, const UnitAngles& angles) {
  if (unit.first_pair < 0) return;
  if (shape.interleaved) {
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) {
      float(&run)[kChunk] = unit.values[2 * i / kChunk];
      Turn(run[2 * i % kChunk], run[2 * i % kChunk + 1], angles.cos[i], angles.sin[i]);
    }
  } else {
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) {
      Turn(unit.values[0][i], unit.values[1][i], angles.cos[i], angles.sin[i]);
    }
  }
}

// The neighbouring lanes, 2^log2_lanes of them, that share a head. All lanes of the warp call Sum.
struct LaneGroup {
  int lanes;
  int index;  // of the warp's groups
  int lane;   // of the group's

  QUIRE_DEVICE explicit LaneGroup(int log2_lanes)
      : lanes(1 << log2_lanes), index(LaneIndex() >> log2_lanes), lane(LaneIndex() & (lanes - 1)) {}

  QUIRE_DEVICE float Sum(float value) const {
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
      value += ShuffleXor(value, distance);
    }
    return value;
  }
};

inline constexpr int kLog2WarpLanes = 5;

QUIRE_HOST_DEVICE int GroupsPerWarp(int log2_lanes) { return kWarpLanes >> log2_lanes; }

// On the host: log2 of the lanes of a group, so that each holds one unit as far as a warp reaches.
inline int Log2GroupLanes(const HeadShape& shape) {
  int log2_lanes = 0;
  while (log2_lanes < kLog2WarpLanes && (1 << log2_lanes) < shape.units()) ++log2_lanes;
  return log2_lanes;
}

// One head, shared by a group: a unit a lane stays in registers, what is beyond is read again.
template <typename T>
class Head {
 public:
  // Where it is not `there`, it has no numbers.
  QUIRE_DEVICE Head(Global<const T> data, const HeadShape& shape, const LaneGroup& group,
                    bool there)
      : data_(data), shape_(shape), group_(group), units_(there ? shape.units() : 0) {
    if (group.lane < units_) held_ = LoadUnit(data, shape, group.lane);
  }

  // visit(unit, whether it is the one in registers) for each unit of this lane; what it changes is
  // its own copy.
  template <typename Visit>
  QUIRE_DEVICE void ForEachUnit(Visit visit) const {
    HeadUnit unit = held_;
    bool held = true;
    for (int index = group_.lane; index < units_;) {
      visit(unit, held);
      held = false;
      index += group_.lanes;
      if (index < units_) unit = LoadUnit(data_, shape_, index);
    }
  }

  // Over the head, in all lanes of the group the same.
  QUIRE_DEVICE float Mean() const {
    float sum = 0.0F;
    ForEachUnit([&](const HeadUnit& unit, bool /*held*/) {
      QUIRE_UNROLL
      for (int i = 0; i < 2 * kChunk; ++i) sum += unit.values[i / kChunk][i % kChunk];
    });
    return ExactDivide(group_.Sum(sum), static_cast<float>(shape_.dim));
  }
  // Of the numbers minus `mean`.
  QUIRE_DEVICE float SumOfSquares(float mean) const {
    float squares = 0.0F;
    ForEachUnit([&](const HeadUnit& unit, bool /*held*/) {
      QUIRE_UNROLL
      for (int i = 0; i < 2 * kChunk; ++i) {
        const float centred = unit.values[i / kChunk][i % kChunk] - mean;
        if (i % kChunk < unit.count[i / kChunk]) squares = Fma(centred, centred, squares);
      }
    });
    return group_.Sum(squares);
  }

 private:
  Global<const T> data_;
  HeadShape shape_;
  LaneGroup group_;
  int units_;
  HeadUnit held_;
};

struct UnitWeights {
  float values[2][kChunk];
};

// Of a head's weights, or ones where there are none. `unit` is one of the head, but for its
// numbers.
QUIRE_DEVICE UnitWeights LoadWeights(const HeadUnit& unit, Global<const float> weight) {
  UnitWeights weights;
  QUIRE_UNROLL
  for (int i = 0; i < 2; ++i) {
    if (weight.is_null()) {
      QUIRE_UNROLL
      for (int j = 0; j < kChunk; ++j) weights.values[i][j] = 1.0F;
    } else {
      LoadAnyChunk<Cache::kReadOnly>(weight, unit.begin[i], unit.count[i], weights.values[i]);
    }
  }
  return weights;
}

// What a norm makes of a head.
struct Scaling {
  float mean = 0.0F;
  float scale = 1.0F;

  QUIRE_DEVICE void Apply(HeadUnit& unit, const UnitWeights& weights) const {
    QUIRE_UNROLL
    for (int i = 0; i < 2 * kChunk; ++i) {
      float& x = unit.values[i / kChunk][i % kChunk];
      x = (x - mean) * scale * weights.values[i / kChunk][i % kChunk];
    }
  }
};

// 1 / rms of `count` numbers.
QUIRE_DEVICE float InverseRms(float sum_of_squares, int count, float eps) {
  return ExactRsqrt(ExactDivide(sum_of_squares, static_cast<float>(count)) + eps);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_HEAD_UNITS_CUH_
