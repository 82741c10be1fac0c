// Ops on whole rows: one call owns a range of rows. All of them stream: a few FLOPs per byte.
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

// Independent sums of a reduction, added up in one order at its end.
constexpr int kSums = 4;

int Lanes(int64_t left) { return static_cast<int>(left < kLanes ? left : kLanes); }

// x += delta where there is one; returns sum(x^2).
float AddAndSquare(const NormArgs& n, int64_t row) {
  float* x = n.x + row * n.x_stride;
  Vec sums[kSums] = {Zero(), Zero(), Zero(), Zero()};
  int next = 0;
  for (int64_t i = 0; i < n.width; i += kLanes) {
    const int lanes = Lanes(n.width - i);
    Vec v = LoadElements(x, ElementType::kFloat32, i, lanes);
    if (n.delta != nullptr) {
      v = Add(v, LoadElements(n.delta, n.delta_type, row * n.delta_stride + i, lanes));
      StoreElements(x, ElementType::kFloat32, i, v, lanes);
    }
    sums[next] = Fma(v, v, sums[next]);
    next = (next + 1) % kSums;
  }
  return ReduceAdd(Add(Add(sums[0], sums[1]), Add(sums[2], sums[3])));
}

}  // namespace

void RmsNorm(const NormArgs& n) {
  for (int64_t row = 0; row < n.rows; ++row) {
    const float mean = AddAndSquare(n, row) / static_cast<float>(n.width);
    const Vec scale = Broadcast(1.0F / __builtin_sqrtf(mean + n.eps));
    for (int64_t i = 0; i < n.width; i += kLanes) {
      const int lanes = Lanes(n.width - i);
      const Vec x = LoadElements(n.x, ElementType::kFloat32, row * n.x_stride + i, lanes);
      const Vec weight = LoadElements(n.weight, ElementType::kFloat32, i, lanes);
      StoreElements(n.out, n.out_type, row * n.out_stride + i, Mul(Mul(x, scale), weight), lanes);
    }
  }
}

void SiluMul(const SiluMulArgs& s) {
  const Vec one = Broadcast(1.0F);
  for (int64_t row = 0; row < s.rows; ++row) {
    const int64_t gates = row * s.gate_up_stride;
    for (int64_t i = 0; i < s.width; i += kLanes) {
      const int lanes = Lanes(s.width - i);
      const Vec gate = LoadElements(s.gate_up, s.type, gates + i, lanes);
      const Vec up = LoadElements(s.gate_up, s.type, gates + s.width + i, lanes);
      const Vec silu = Div(gate, Add(one, Exp(Sub(Zero(), gate))));
      StoreElements(s.out, s.type, row * s.out_stride + i, Mul(silu, up), lanes);
    }
  }
}

void CopyRow(const void* in, ElementType in_type, int64_t width, void* out, ElementType out_type) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int lanes = Lanes(width - i);
    StoreElements(out, out_type, i, LoadElements(in, in_type, i, lanes), lanes);
  }
}

}  // namespace quire::QUIRE_ISA
