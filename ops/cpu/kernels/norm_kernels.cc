// Norms: one call owns a range of rows. They stream: a few FLOPs per byte.
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

// Independent sums of a reduction, added up in one order at its end.
constexpr int kSums = 4;

// A sum of term(i, lanes) over the vectors of a row, whose lanes behind the last must be zero.
template <typename Term>
float SumRow(int64_t width, Term term) {
  Vec sums[kSums] = {Zero(), Zero(), Zero(), Zero()};
  int next = 0;
  for (int64_t i = 0; i < width; i += kLanes) {
    sums[next] = term(i, LanesOf(width - i), sums[next]);
    next = (next + 1) % kSums;
  }
  return ReduceAdd(Add(Add(sums[0], sums[1]), Add(sums[2], sums[3])));
}

// One row and what is done to it.
class NormRow {
 public:
  NormRow(const NormRowsArgs& n, int64_t row) : n_(n), row_(row) {}

  // The row's numbers, once the delta is added.
  Vec At(int64_t i, int lanes) const {
    return LoadElements(n_.x, n_.x_type, row_ * n_.x_stride + i, lanes);
  }
  // Adds the delta where there is one.
  Vec Begin(int64_t i, int lanes) const {
    Vec v = At(i, lanes);
    if (n_.delta == nullptr) return v;
    const Vec delta = LoadElements(n_.delta, n_.delta_type, row_ * n_.delta_stride + i, lanes);
    v = Fma(Broadcast(n_.delta_scale), delta, v);
    StoreElements(n_.x, n_.x_type, row_ * n_.x_stride + i, v, lanes);
    return v;
  }
  void End(int64_t i, int lanes, Vec normed) const {
    if (n_.weight != nullptr) {
      const Vec weight = LoadElements(n_.weight, ElementType::kFloat32, i, lanes);
      normed = n_.bias == nullptr
                   ? Mul(normed, weight)
                   : Fma(normed, weight, LoadElements(n_.bias, ElementType::kFloat32, i, lanes));
    } else if (n_.bias != nullptr) {
      normed = Add(normed, LoadElements(n_.bias, ElementType::kFloat32, i, lanes));
    }
    if (n_.into_x) StoreElements(n_.x, n_.x_type, row_ * n_.x_stride + i, normed, lanes);
    StoreElements(n_.out, n_.out_type, row_ * n_.out_stride + i, normed, lanes);
  }

  void None() const {
    for (int64_t i = 0; i < n_.width; i += kLanes) {
      const int lanes = LanesOf(n_.width - i);
      End(i, lanes, Begin(i, lanes));
    }
  }

  void Rms() const {
    const float squares = SumRow(n_.width, [&](int64_t i, int lanes, Vec sum) {
      const Vec v = Begin(i, lanes);
      return Fma(v, v, sum);
    });
    const float mean = squares / static_cast<float>(n_.width);
    const Vec scale = Broadcast(1.0F / __builtin_sqrtf(mean + n_.eps));
    for (int64_t i = 0; i < n_.width; i += kLanes) {
      const int lanes = LanesOf(n_.width - i);
      End(i, lanes, Mul(At(i, lanes), scale));
    }
  }

  void Layer() const {
    const float count = static_cast<float>(n_.width);
    const float sum =
        SumRow(n_.width, [&](int64_t i, int lanes, Vec s) { return Add(s, Begin(i, lanes)); });
    const Vec mean = Broadcast(sum / count);
    const float squares = SumRow(n_.width, [&](int64_t i, int lanes, Vec s) {
      const Vec v = KeepLanes(Sub(At(i, lanes), mean), 0, lanes, 0.0F);
      return Fma(v, v, s);
    });
    const Vec scale = Broadcast(1.0F / __builtin_sqrtf(squares / count + n_.eps));
    for (int64_t i = 0; i < n_.width; i += kLanes) {
      const int lanes = LanesOf(n_.width - i);
      End(i, lanes, Mul(Sub(At(i, lanes), mean), scale));
    }
  }

 private:
  const NormRowsArgs& n_;
  int64_t row_;
};

}  // namespace

void Normalise(const NormRowsArgs& n) {
  for (int64_t row = 0; row < n.rows; ++row) {
    const NormRow one(n, row);
    switch (n.kind) {
      case NormKind::kNone:
        one.None();
        break;
      case NormKind::kRms:
        one.Rms();
        break;
      case NormKind::kLayer:
        one.Layer();
        break;
    }
  }
}

}  // namespace quire::QUIRE_ISA
