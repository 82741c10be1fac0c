#include "tests/testing/on_device.h"

#include <algorithm>

#include "core/check.h"

namespace quire::testing {
namespace {

// Of a matrix whose gaps count, but the one behind its last row.
size_t BytesOf(const DeviceMatrix& matrix) {
  if (matrix.rows == 0 || matrix.data == nullptr) return 0;
  return static_cast<size_t>((matrix.rows - 1) * matrix.row_stride + matrix.cols) *
         DTypeBytes(matrix.dtype);
}

size_t BytesOf(const PagedKvView& kv) {
  return static_cast<size_t>((kv.num_blocks - 1) * kv.page_stride_bytes) + kv.layout.page_bytes();
}

DeviceMatrix At(DeviceMatrix matrix, void* data) {
  matrix.data = data;
  return matrix;
}

ScoreRules ReadRules(DeviceCopies& copies, ScoreRules rules, const GqaShape& shape, int64_t rows,
                     int64_t last_keys) {
  rules.alibi_slopes = copies.Read(rules.alibi_slopes, shape.num_heads);
  rules.sink_logits = copies.Read(rules.sink_logits, shape.num_heads);
  const int64_t matrices = rules.bias.head_stride > 0 ? shape.num_heads : 1;
  rules.bias.data =
      copies.Read(rules.bias.data, (matrices - 1) * rules.bias.head_stride +
                                       (rows - 1) * rules.bias.row_stride + last_keys);
  return rules;
}

class AttentionOnDevice : public Attention {
 public:
  AttentionOnDevice(Attention& real, DeviceMemory& memory, DeviceQueue& queue, bool generated)
      : real_(real), memory_(memory), queue_(queue), generated_(generated) {}

  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) override {
    DeviceCopies copies(memory_, queue_);
    NormRopeWriteParams on_device = Rotation(copies, params);
    on_device.kv = copies.ReadAndWrite(params.kv);
    real_.NormRopeWrite(on_device, copies.Read(batch));
    copies.Finish();
  }
  void NormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) override {
    DeviceCopies copies(memory_, queue_);
    const NormRopeWriteParams on_device = Rotation(copies, params);
    real_.NormRope(on_device, copies.Read(rope_rows));
    copies.Finish();
  }
  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    DeviceCopies copies(memory_, queue_);
    const int64_t rows = params.qkv.rows;
    GqaParams on_device = params;
    on_device.qkv = copies.Read(params.qkv);
    on_device.out = copies.ReadAndWrite(params.out);
    on_device.kv = copies.Read(params.kv);
    on_device.scores = ReadRules(copies, params.scores, params.shape, rows,
                                 rows == 0 ? 0 : batch.positions.data[rows - 1] + 1);
    on_device.prefix.blocks = copies.Read(params.prefix.blocks);
    on_device.prefix.q2 = copies.Read(params.prefix.q2);
    if (generated_) on_device.num_generated = rows;
    real_.BeginBatch();
    real_.Gqa(on_device, copies.Read(batch));
    copies.Finish();
  }
  void Encode(const EncoderParams& params, DeviceArray<const int32_t> query_start) override {
    DeviceCopies copies(memory_, queue_);
    const int64_t sequences = query_start.size - 1;
    EncoderParams on_device = params;
    on_device.qkv = copies.Read(params.qkv);
    on_device.out = copies.ReadAndWrite(params.out);
    on_device.scores = ReadRules(
        copies, params.scores, params.shape, params.qkv.rows,
        sequences == 0 ? 0 : query_start.data[sequences] - query_start.data[sequences - 1]);
    real_.Encode(on_device, copies.Read(query_start));
    copies.Finish();
  }
  void CopyPages(const PagedKvView& kv,
                 absl::Span<const std::pair<BlockId, BlockId>> pages) override {
    DeviceCopies copies(memory_, queue_);
    real_.CopyPages(copies.ReadAndWrite(kv), pages);
    copies.Finish();
  }

 private:
  static NormRopeWriteParams Rotation(DeviceCopies& copies, const NormRopeWriteParams& params) {
    NormRopeWriteParams on_device = params;
    const GqaShape& shape = params.shape;
    const bool wide = params.qk_norm == QkNorm::kFullWidth || params.weights_per_head;
    const int64_t dim = shape.head_dim;
    on_device.qkv = copies.ReadAndWrite(params.qkv);
    on_device.q2 = copies.ReadAndWrite(params.q2);
    on_device.q_norm = copies.Read(params.q_norm, wide ? shape.num_heads * dim : dim);
    on_device.k_norm = copies.Read(params.k_norm, wide ? shape.num_kv_heads * dim : dim);
    on_device.rope = copies.Read(params.rope);
    return on_device;
  }

  Attention& real_;
  DeviceMemory& memory_;
  DeviceQueue& queue_;
  const bool generated_;
};

class MlaOnDevice : public Mla {
 public:
  MlaOnDevice(Mla& real, DeviceMemory& memory, DeviceQueue& queue)
      : real_(real), memory_(memory), queue_(queue) {}

  void NormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) override {
    DeviceCopies copies(memory_, queue_);
    MlaNormRopeWriteParams on_device = params;
    on_device.latent = copies.Read(params.latent);
    on_device.q = copies.ReadAndWrite(params.q);
    on_device.latent_norm = copies.Read(params.latent_norm, params.shape.latent_dim);
    on_device.rope = copies.Read(params.rope);
    on_device.kv = copies.ReadAndWrite(params.kv);
    real_.NormRopeWrite(on_device, copies.Read(batch));
    copies.Finish();
  }
  void Absorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) override {
    DeviceCopies copies(memory_, queue_);
    MlaAbsorbedParams on_device = params;
    on_device.q_latent = copies.Read(params.q_latent);
    on_device.q = copies.Read(params.q);
    on_device.out = copies.ReadAndWrite(params.out);
    on_device.kv = copies.Read(params.kv);
    real_.Absorbed(on_device, copies.Read(batch));
    copies.Finish();
  }
  // `expand` works on host memory.
  void Prefill(const MlaPrefillParams& params, const AttentionBatch& batch,
               MlaExpand expand) override {
    DeviceCopies copies(memory_, queue_);
    MlaPrefillParams on_device = params;
    on_device.q = copies.Read(params.q);
    on_device.out = copies.ReadAndWrite(params.out);
    on_device.kv = copies.Read(params.kv);
    real_.Prefill(on_device, copies.Read(batch),
                  [&](const DeviceMatrix& latent, const DeviceMatrix& kv) {
                    std::vector<char> latents(BytesOf(latent)), expanded(BytesOf(kv));
                    queue_.CopyToHost(latents.data(), latent.data, latents.size());
                    queue_.Wait();
                    expand(At(latent, latents.data()), At(kv, expanded.data()));
                    queue_.CopyToDevice(kv.data, expanded.data(), expanded.size());
                  });
    copies.Finish();
  }

 private:
  Mla& real_;
  DeviceMemory& memory_;
  DeviceQueue& queue_;
};

class OpsOnDevice : public Ops {
 public:
  OpsOnDevice(Ops& real, DeviceMemory& memory, DeviceQueue& queue)
      : real_(real), memory_(memory), queue_(queue) {}

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) override {
    return real_.MakeLinear(spec);
  }
  void Prepare(const Linear& linear, DType out) override { real_.Prepare(linear, out); }
  absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table, int64_t width,
                                                           DType act_dtype) override {
    return real_.MakeEmbedding(table, width, act_dtype);
  }
  std::unique_ptr<Embedding> TieEmbedding(const Linear& linear) override {
    return real_.TieEmbedding(linear);
  }
  absl::StatusOr<DeviceVector> MakeVector(absl::Span<const float> values) override {
    return real_.MakeVector(values);
  }
  absl::StatusOr<std::unique_ptr<Experts>> MakeExperts(ExpertsSpec spec) override {
    return real_.MakeExperts(std::move(spec));
  }

  void Embed(const Embedding& table, DeviceArray<const int32_t> ids, EmbedOptions options,
             const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    real_.Embed(table, copies.Read(ids), options, copies.ReadAndWrite(out));
    copies.Finish();
  }
  void Normalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    const DeviceMatrix written = copies.ReadAndWrite(out);
    real_.Normalise(x.data == out.data ? written : copies.Read(x), norm, written);
    copies.Finish();
  }
  void AddNormalise(const AddNormaliseArgs& args) override {
    DeviceCopies copies(memory_, queue_);
    real_.AddNormalise({.residual = copies.ReadAndWrite(args.residual),
                        .delta = copies.Read(args.delta),
                        .delta_scale = args.delta_scale,
                        .norm = args.norm,
                        .out = copies.ReadAndWrite(args.out),
                        .into_residual = args.into_residual});
    copies.Finish();
  }
  void ApplyGroup(absl::Span<const Product> products) override {
    DeviceCopies copies(memory_, queue_);
    std::vector<Product> on_device;
    for (const Product& product : products) {
      on_device.push_back({product.linear, copies.Read(product.x), copies.ReadAndWrite(product.y),
                           product.num_generated});
    }
    real_.ApplyGroup(on_device);
    copies.Finish();
  }
  void GatedActivation(const ActivationParams& activation, const DeviceMatrix& gate_up,
                       const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    real_.GatedActivation(activation, copies.Read(gate_up), copies.ReadAndWrite(out));
    copies.Finish();
  }
  void Activate(const ActivationParams& activation, const DeviceMatrix& x,
                const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    const DeviceMatrix written = copies.ReadAndWrite(out);
    real_.Activate(activation, x.data == out.data ? written : copies.Read(x), written);
    copies.Finish();
  }
  void AddTo(const DeviceMatrix& x, float scale, const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    real_.AddTo(copies.Read(x), scale, copies.ReadAndWrite(out));
    copies.Finish();
  }
  void AddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate,
                       const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    real_.AddSigmoidGated(copies.Read(x), copies.Read(gate), copies.ReadAndWrite(out));
    copies.Finish();
  }
  void SoftcapLogits(const DeviceMatrix& logits, float scale, float cap) override {
    DeviceCopies copies(memory_, queue_);
    real_.SoftcapLogits(copies.ReadAndWrite(logits), scale, cap);
    copies.Finish();
  }
  void Route(const RouterParams& params, const DeviceMatrix& logits, DeviceArray<int32_t> ids,
             const DeviceMatrix& weights) override {
    DeviceCopies copies(memory_, queue_);
    void* const chosen =
        copies.ReadAndWrite(ids.data, static_cast<size_t>(ids.size) * sizeof(int32_t));
    real_.Route(params, copies.Read(logits), {static_cast<int32_t*>(chosen), ids.size},
                copies.ReadAndWrite(weights));
    copies.Finish();
  }
  void ApplyExperts(const Experts& experts, const DeviceMatrix& x, DeviceArray<const int32_t> ids,
                    const DeviceMatrix& weights, const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    real_.ApplyExperts(experts, copies.Read(x), copies.Read(ids), copies.Read(weights),
                       copies.ReadAndWrite(out));
    copies.Finish();
  }
  void GatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                  const DeviceMatrix& out) override {
    DeviceCopies copies(memory_, queue_);
    real_.GatherRows(copies.Read(x), copies.Read(rows), copies.ReadAndWrite(out));
    copies.Finish();
  }
  void SumRows(const DeviceMatrix& x, absl::Span<float> sum) override {
    DeviceCopies copies(memory_, queue_);
    real_.SumRows(copies.Read(x), sum);
  }

 private:
  Ops& real_;
  DeviceMemory& memory_;
  DeviceQueue& queue_;
};

}  // namespace

void* DeviceCopies::ReadBytes(const void* data, size_t bytes) {
  if (data == nullptr || bytes == 0) return nullptr;
  auto buffer = memory_.Allocate(bytes + 16, "test");
  QUIRE_CHECK(buffer.ok()) << buffer.status();
  buffers_.push_back(*std::move(buffer));
  char* const copy =
      static_cast<char*>(buffers_.back().data()) + reinterpret_cast<uintptr_t>(data) % 16;
  queue_.CopyToDevice(copy, data, bytes);
  return copy;
}

void* DeviceCopies::ReadAndWrite(void* data, size_t bytes) {
  void* const copy = ReadBytes(data, bytes);
  if (copy != nullptr) written_.push_back({data, copy, bytes});
  return copy;
}

DeviceMatrix DeviceCopies::Read(const DeviceMatrix& matrix) {
  return At(matrix, ReadBytes(matrix.data, BytesOf(matrix)));
}

DeviceMatrix DeviceCopies::ReadAndWrite(const DeviceMatrix& matrix) {
  return At(matrix, ReadAndWrite(matrix.data, BytesOf(matrix)));
}

PagedKvView DeviceCopies::Read(PagedKvView kv) {
  kv.base = ReadBytes(kv.base, BytesOf(kv));
  return kv;
}

PagedKvView DeviceCopies::ReadAndWrite(PagedKvView kv) {
  kv.base = ReadAndWrite(kv.base, BytesOf(kv));
  return kv;
}

RopeTable DeviceCopies::Read(RopeTable rope) {
  const int64_t numbers = rope.num_rows * (rope.rotary_dim / 2);
  rope.cos = Read(rope.cos, numbers);
  rope.sin = Read(rope.sin, numbers);
  return rope;
}

AttentionBatch DeviceCopies::Read(const AttentionBatch& batch) {
  return {.query_start = Read(batch.query_start),
          .kv_len = Read(batch.kv_len),
          .positions = Read(batch.positions),
          .rope_rows = Read(batch.rope_rows),
          .slots = Read(batch.slots),
          .table_start = Read(batch.table_start),
          .first_block = Read(batch.first_block),
          .blocks = Read(batch.blocks),
          .prefix_start = Read(batch.prefix_start),
          .prefix_blocks = Read(batch.prefix_blocks),
          .rope_rows2 = Read(batch.rope_rows2),
          .on_host = &batch};
}

void DeviceCopies::Finish() {
  for (const Written& one : written_) queue_.CopyToHost(one.host, one.device, one.bytes);
  queue_.Wait();
}

std::unique_ptr<Ops> MakeOpsOnDevice(Ops& real, DeviceMemory& memory, DeviceQueue& queue) {
  return std::make_unique<OpsOnDevice>(real, memory, queue);
}

std::unique_ptr<Attention> MakeAttentionOnDevice(Attention& real, DeviceMemory& memory,
                                                 DeviceQueue& queue, bool generated) {
  return std::make_unique<AttentionOnDevice>(real, memory, queue, generated);
}

std::unique_ptr<Mla> MakeMlaOnDevice(Mla& real, DeviceMemory& memory, DeviceQueue& queue) {
  return std::make_unique<MlaOnDevice>(real, memory, queue);
}

}  // namespace quire::testing
