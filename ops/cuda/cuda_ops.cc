#include "ops/cuda/cuda_ops.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/status_macros.h"
#include "ops/cuda/cuda_experts.h"
#include "ops/cuda/cuda_linear.h"
#include "ops/cuda/launch_gemm.h"
#include "ops/cuda/launch_kernels.h"
#include "ops/cuda/launch_moe.h"
#include "ops/cuda/launch_row_ops.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

class CudaEmbedding : public Embedding {
 public:
  CudaEmbedding(const DeviceMatrix& table, DeviceBuffer own)
      : table_(table), own_(std::move(own)) {}

  size_t bytes() const override { return own_.bytes(); }
  const DeviceMatrix& table() const { return table_; }

 private:
  DeviceMatrix table_;
  DeviceBuffer own_;  // empty where tied
};

class CudaOps : public Ops {
 public:
  CudaOps(DeviceQueue& queue, DeviceMemory& memory, ThreadPool& pool, const CudaOpsOptions& options,
          DeviceBuffer sum)
      : queue_(queue),
        sum_(std::move(sum)),
        prompt_gemm_(options.prompt_gemm),
        uploader_(queue, memory, pool, options.isa, options.staging_bytes),
        experts_(queue, memory, options.max_rows) {}

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) override {
    return uploader_.Upload(spec);
  }

  absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table, int64_t width,
                                                           DType act_dtype) override {
    QUIRE_CHECK(act_dtype != DType::kFloat16);
    QUIRE_CHECK(table.is_plain());
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer, uploader_.UploadTable(table, width, act_dtype));
    const DeviceMatrix view{buffer.data(), act_dtype, table.out_features, width,
                            CudaLinear::RowStride(width, act_dtype)};
    return std::make_unique<CudaEmbedding>(view, std::move(buffer));
  }

  std::unique_ptr<Embedding> TieEmbedding(const Linear& linear) override {
    return std::make_unique<CudaEmbedding>(static_cast<const CudaLinear&>(linear).weight(),
                                           DeviceBuffer());
  }

  absl::StatusOr<DeviceVector> MakeVector(absl::Span<const float> values) override {
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           uploader_.UploadBytes(values.data(), values.size() * sizeof(float)));
    return DeviceVector{std::move(buffer)};
  }

  absl::StatusOr<std::unique_ptr<Experts>> MakeExperts(ExpertsSpec spec) override {
    CheckExpertsSpec(spec);
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<CudaExperts> experts,
                           CudaExperts::Create(std::move(spec), uploader_));
    QUIRE_RETURN_IF_ERROR(experts_.Prepare(*experts));
    return experts;
  }

  void Prepare(const Linear& linear, DType out) override {
    if (prompt_gemm_ != nullptr) prompt_gemm_->Prepare(static_cast<const CudaLinear&>(linear), out);
  }

  void FinishWeights() override { uploader_.Finish(); }

  void Embed(const Embedding& table, DeviceArray<const int32_t> ids, EmbedOptions options,
             const DeviceMatrix& out) override {
    const DeviceMatrix& rows = static_cast<const CudaEmbedding&>(table).table();
    CheckEmbed(rows.cols, ids, out);
    if (out.rows == 0) return;
    cuda::Embed(queue_, {.table = rows,
                         .ids = ids,
                         .scale = options.scale,
                         .accumulate = options.accumulate,
                         .out = out});
  }

  void Normalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) override {
    CheckNormalise(x, norm, out);
    if (x.rows > 0) cuda::Norm(queue_, NormArgsOf(x, norm, out));
  }

  void AddNormalise(const AddNormaliseArgs& args) override {
    CheckAddNormalise(args);
    if (args.residual.rows == 0) return;
    NormArgs own = NormArgsOf(args.residual, args.norm, args.out);
    own.delta = args.delta;
    own.delta_scale = args.delta_scale;
    own.into_x = args.into_residual;
    cuda::Norm(queue_, own);
  }

  // A row of a prompt and one that is generated have kernels of their own, whatever else is in the
  // batch.
  void ApplyGroup(absl::Span<const Product> products) override {
    own_products_.clear();
    for (const auto& [linear, x, y, num_generated] : products) {
      const auto& own = static_cast<const CudaLinear&>(*linear);
      CheckApply(own, own.act_dtype(), x, y);
      QUIRE_CHECK(num_generated >= 0 && num_generated <= x.rows) << num_generated;
      const int64_t prompts = x.rows - num_generated;
      const bool is_multiplied = prompts > 0 && prompt_gemm_ != nullptr &&
                                 prompt_gemm_->Multiply(own, x.Rows(num_generated, prompts),
                                                        y.Rows(num_generated, prompts));
      const int64_t left = is_multiplied ? num_generated : x.rows;
      if (left == 0) continue;
      own_products_.push_back(
          {.x = x.Rows(0, left), .weight = own.weight(), .bias = own.bias(), .y = y.Rows(0, left)});
    }
    cuda::BatchedGemm(queue_, own_products_);
  }

  void GatedActivation(const ActivationParams& activation, const DeviceMatrix& gate_up,
                       const DeviceMatrix& out) override {
    CheckGatedActivation(gate_up, out);
    if (out.rows == 0) return;
    cuda::ActivateRows(queue_, {.activation = activation, .gated = true, .x = gate_up, .out = out});
  }

  void Activate(const ActivationParams& activation, const DeviceMatrix& x,
                const DeviceMatrix& out) override {
    CheckActivate(activation, x, out);
    if (out.rows > 0) cuda::ActivateRows(queue_, {.activation = activation, .x = x, .out = out});
  }

  void AddTo(const DeviceMatrix& x, float scale, const DeviceMatrix& out) override {
    CheckAddTo(x, out);
    if (out.rows > 0) cuda::AddRows(queue_, {.x = x, .scale = scale, .out = out});
  }

  void AddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate,
                       const DeviceMatrix& out) override {
    CheckAddSigmoidGated(x, gate, out);
    if (out.rows > 0) cuda::AddRows(queue_, {.x = x, .gate = gate, .out = out});
  }

  void SoftcapLogits(const DeviceMatrix& logits, float scale, float cap) override {
    CheckSoftcapLogits(logits, cap);
    if (logits.rows > 0) cuda::Softcap(queue_, {.logits = logits, .scale = scale, .cap = cap});
  }

  void Route(const RouterParams& params, const DeviceMatrix& logits, DeviceArray<int32_t> ids,
             const DeviceMatrix& weights) override {
    CheckRoute(params, logits, ids, weights);
    if (logits.rows == 0) return;
    cuda::RouteRows(queue_, {.rules = params,
                             .correction_bias = params.correction_bias.data(),
                             .logits = logits,
                             .ids = ids.data,
                             .weights = weights});
  }

  void ApplyExperts(const Experts& experts, const DeviceMatrix& x, DeviceArray<const int32_t> ids,
                    const DeviceMatrix& weights, const DeviceMatrix& out) override {
    experts_.Run(static_cast<const CudaExperts&>(experts), x, ids, weights, out);
  }

  void GatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                  const DeviceMatrix& out) override {
    CheckGatherRows(x, rows, out);
    if (out.rows > 0) cuda::GatherRows(queue_, {.x = x, .rows = rows, .out = out});
  }

  void SumRows(const DeviceMatrix& x, absl::Span<float> sum) override {
    CheckSumRows(x, sum);
    const size_t bytes = sum.size() * sizeof(float);
    QUIRE_CHECK_LE(bytes, sum_.bytes());
    queue_.CopyToDevice(sum_.data(), sum.data(), bytes);
    if (x.rows > 0) cuda::SumRows(queue_, {.x = x, .sum = static_cast<float*>(sum_.data())});
    queue_.CopyToHost(sum.data(), sum_.data(), bytes);
    queue_.Wait();
  }

 private:
  static NormArgs NormArgsOf(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) {
    return {.kind = norm.kind,
            .eps = norm.eps,
            .weight = norm.weight.data(),
            .bias = norm.bias.data(),
            .x = x,
            .out = out};
  }

  DeviceQueue& queue_;
  DeviceBuffer sum_;  // of SumRows
  PromptGemm* prompt_gemm_;
  WeightUploader uploader_;
  CudaExpertsRunner experts_;
  std::vector<GemmArgs> own_products_;  // scratch of ApplyGroup
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ops>> MakeCudaOps(DeviceQueue& queue, DeviceMemory& memory,
                                                 ThreadPool& pool, const CudaOpsOptions& options) {
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer sum,
                         memory.Allocate(options.max_width * sizeof(float), "workspace"));
  return std::make_unique<CudaOps>(queue, memory, pool, options, std::move(sum));
}

}  // namespace quire
