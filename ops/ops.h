// The contract of everything a model computes that is not attention (ops/sampler.h
// has the drawing of tokens). A backend (ops/cpu, ops/cuda)
// implements it; ops/reference is the slow and obvious oracle.
//
// Letters: T tokens in the batch, E hidden size, F feed-forward size, V vocabulary, M rows of a
// product, N and K its output and input features. Matrices are row-major device matrices whose
// rows may be strided; "act" is the activation type (bf16 or fp32). The residual stream is fp32.
//
// Law of every op: a row of the result depends on that row's own inputs only, to the bit, never on
// the number of rows or on their neighbours.
//
// Shapes and types are CHECKed. Nothing here allocates after the Make* calls.
#ifndef QUIRE_OPS_OPS_H_
#define QUIRE_OPS_OPS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/device_memory.h"
#include "core/dtype.h"
#include "ops/op_kinds.h"
#include "ops/weight_maker.h"

namespace quire {

// norm(x) = (x normalised as `kind` says) * weight + bias.
struct Norm {
  NormKind kind = NormKind::kNone;
  DeviceVector weight;  // [E], or empty: ones
  DeviceVector bias;    // [E], or empty: zeros
  float eps = 0.0F;
};

// residual += delta_scale * delta, then out = norm(residual).
struct AddNormaliseArgs {
  DeviceMatrix residual;  // fp32 [T, E]
  DeviceMatrix delta;     // fp32 or act [T, E]
  float delta_scale = 1.0F;
  const Norm& norm;
  DeviceMatrix out;            // fp32 or act [T, E]
  bool into_residual = false;  // residual = norm(residual) too (norms behind the sum, as in BERT)
};

struct EmbedOptions {
  float scale = 1.0F;
  bool accumulate = false;  // out += instead of out =
};

// One of several products that do not read each other's results.
struct Product {
  const Linear* linear;
  DeviceMatrix x;  // act [M, K]
  DeviceMatrix y;  // act or fp32 [M, N]
  // Rows [0, num_generated) are of generated positions or logits, the rest of prompts. A backend
  // may compute the two kinds by different kernels, and each row by its kind's alone.
  int64_t num_generated = 0;
};

struct RouterParams : RouterRules {
  DeviceVector correction_bias;  // [X], added to the scores for choosing alone; or empty
};

class Ops : public WeightMaker {
 public:
  // Before the first product of prompt rows by `linear` into y of type `out`: a backend that has to
  // choose how does so here, at start, and may measure.
  virtual void Prepare(const Linear& /*linear*/, DType /*out*/) {}

  // out[t] = scale * table[ids[t]], or out[t] += it. out fp32 [T, E].
  virtual void Embed(const Embedding& table, DeviceArray<const int32_t> ids, EmbedOptions options,
                     const DeviceMatrix& out) = 0;

  // out = norm(x). x and out fp32 or act [T, E]; they may be the same matrix.
  virtual void Normalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) = 0;
  virtual void AddNormalise(const AddNormaliseArgs& args) = 0;

  // y = x W^T + b for each product, in parallel across products too; the same bits as one by one.
  // No y may overlap an x or another y.
  virtual void ApplyGroup(absl::Span<const Product> products) = 0;
  void Apply(const Linear& linear, const DeviceMatrix& x, const DeviceMatrix& y,
             int64_t num_generated = 0) {
    const Product product{&linear, x, y, num_generated};
    ApplyGroup(absl::MakeConstSpan(&product, 1));
  }

  // out = activation(gate) * up, where gate_up act [T, 2F] holds gate in its first F columns and up
  // in its last F. out act [T, F].
  virtual void GatedActivation(const ActivationParams& activation, const DeviceMatrix& gate_up,
                               const DeviceMatrix& out) = 0;
  // out = activation(x). x and out act [T, F]; they may be the same matrix.
  virtual void Activate(const ActivationParams& activation, const DeviceMatrix& x,
                        const DeviceMatrix& out) = 0;

  // out += scale * x. out fp32 [T, E], x fp32 or act [T, E].
  virtual void AddTo(const DeviceMatrix& x, float scale, const DeviceMatrix& out) = 0;
  // out += sigmoid(gate) * x. out fp32 [T, E], x fp32 or act [T, E], gate fp32 or act [T, 1].
  virtual void AddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate,
                               const DeviceMatrix& out) = 0;
  // logits = cap * tanh(scale * logits / cap), or scale * logits where cap is 0. fp32 [R, V].
  virtual void SoftcapLogits(const DeviceMatrix& logits, float scale, float cap) = 0;

  // ids[t, j] and weights[t, j] of the k experts of each row, by descending choice, ties by the
  // lowest id. logits fp32 [T, X], ids [T k], weights fp32 [T, k]. A row with NaN gets valid ids.
  virtual void Route(const RouterParams& params, const DeviceMatrix& logits,
                     DeviceArray<int32_t> ids, const DeviceMatrix& weights) = 0;
  // out[t] = sum over j of weights[t, j] * expert_ids[t, j](x[t]), in the order of j. x act [T, E],
  // ids [T k], a row's all different, weights fp32 [T, k], out fp32 [T, E].
  virtual void ApplyExperts(const Experts& experts, const DeviceMatrix& x,
                            DeviceArray<const int32_t> ids, const DeviceMatrix& weights,
                            const DeviceMatrix& out) = 0;

  // out[r] = x[rows[r]]. x and out act [., E].
  virtual void GatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                          const DeviceMatrix& out) = 0;
  // sum[i] += x[r, i] for r = 0, 1, ... in this order, in fp32. x act [R, E], sum [E] in host
  // memory, whole when this returns.
  virtual void SumRows(const DeviceMatrix& x, absl::Span<float> sum) = 0;
};

}  // namespace quire

#endif  // QUIRE_OPS_OPS_H_
