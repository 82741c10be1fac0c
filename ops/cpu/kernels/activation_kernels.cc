// Activations and gates: one call owns a range of rows. They stream; the exponential is the most
// of their work.
#include "core/cpu/simd/special.h"
#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {
namespace {

Vec Silu(Vec x) { return Div(x, Add(Broadcast(1.0F), Exp(Sub(Zero(), x)))); }

// As x sigmoid(2 u), which loses nothing where tanh is near -1; 0 below -10, where it is less than
// fp32 can hold.
Vec GeluTanh(Vec x) {
  const Vec cubic = Broadcast(0x1.2444f2p-4F);   // 2 sqrt(2 / pi) 0.044715
  const Vec linear = Broadcast(0x1.988454p+0F);  // 2 sqrt(2 / pi)
  const Vec twice_u = Mul(x, Fma(Mul(x, x), cubic, linear));
  return ZeroWhereLess(Mul(x, Sigmoid(twice_u)), x, Broadcast(-10.0F));
}

template <Activation kKind>
Vec Activated(Vec x) {
  if constexpr (kKind == Activation::kSilu) return Silu(x);
  if constexpr (kKind == Activation::kGeluTanh) return GeluTanh(x);
  if constexpr (kKind == Activation::kGeluExact) return Mul(x, NormalCdf(x));
  return Max(Zero(), x);  // kRelu; NaN stays
}

template <Activation kKind>
Vec Gated(const ActivationParams& params, Vec gate, Vec up) {
  if constexpr (kKind == Activation::kClampedSwiglu) {
    const Vec limit = Broadcast(params.limit);
    const Vec low_gate = Min(limit, gate);
    const Vec clamped_up = Max(Broadcast(-params.limit), Min(limit, up));
    const Vec glu = Mul(low_gate, Sigmoid(Mul(Broadcast(params.alpha), low_gate)));
    return Mul(Add(clamped_up, Broadcast(1.0F)), glu);
  } else {
    return Mul(Activated<kKind>(gate), up);
  }
}

template <Activation kKind>
void Run(const ActivationArgs& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    for (int64_t i = 0; i < a.width; i += kLanes) {
      const int lanes = LanesOf(a.width - i);
      const Vec gate = LoadElements(a.x, a.type, row * a.x_stride + i, lanes);
      Vec out = gate;
      if (a.gated) {
        const Vec up = LoadElements(a.x, a.type, row * a.x_stride + a.width + i, lanes);
        out = Gated<kKind>(a.params, gate, up);
      } else if constexpr (kKind != Activation::kClampedSwiglu) {
        out = Activated<kKind>(gate);
      }
      StoreElements(a.out, a.type, row * a.out_stride + i, out, lanes);
    }
  }
}

}  // namespace

void Activate(const ActivationArgs& a) {
  switch (a.params.kind) {
    case Activation::kSilu:
      return Run<Activation::kSilu>(a);
    case Activation::kGeluTanh:
      return Run<Activation::kGeluTanh>(a);
    case Activation::kGeluExact:
      return Run<Activation::kGeluExact>(a);
    case Activation::kRelu:
      return Run<Activation::kRelu>(a);
    case Activation::kClampedSwiglu:
      return Run<Activation::kClampedSwiglu>(a);
  }
}

void AddScaled(const AddScaledArgs& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    Vec scale = Broadcast(a.scale);
    if (a.gate != nullptr) {
      const Vec gate = LoadElements(a.gate, a.gate_type, row * a.gate_stride, 1);
      scale = Mul(scale, Sigmoid(gate));
      float lanes[kLanes];
      Store(lanes, scale);
      scale = Broadcast(lanes[0]);
    }
    float* out = a.out + row * a.out_stride;
    for (int64_t i = 0; i < a.width; i += kLanes) {
      const int lanes = LanesOf(a.width - i);
      const Vec x = LoadElements(a.x, a.x_type, row * a.x_stride + i, lanes);
      const Vec sum = Fma(scale, x, LoadElements(out, ElementType::kFloat32, i, lanes));
      StoreElements(out, ElementType::kFloat32, i, sum, lanes);
    }
  }
}

void Softcap(float* x, int64_t width, float scale, float cap) {
  const Vec factor = Broadcast(cap == 0.0F ? scale : scale / cap);
  const Vec limit = Broadcast(cap);
  for (int64_t i = 0; i < width; i += kLanes) {
    const int lanes = LanesOf(width - i);
    Vec v = Mul(LoadElements(x, ElementType::kFloat32, i, lanes), factor);
    if (cap != 0.0F) v = Mul(limit, Tanh(v));
    StoreElements(x, ElementType::kFloat32, i, v, lanes);
  }
}

}  // namespace quire::QUIRE_ISA
