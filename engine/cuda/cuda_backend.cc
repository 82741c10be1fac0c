#include "engine/cuda/cuda_backend.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "attention/cuda/cuda_attention.h"
#include "attention/cuda/cuda_mla.h"
#include "attention/cuda/gqa_decode_args.h"
#include "core/allocation_bytes.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/cpu/usable_cpus.h"
#include "core/status_macros.h"
#include "engine/cuda/cuda_executor.h"
#include "engine/cuda/device_placement.h"
#include "engine/cuda/weight_memory.h"
#include "ops/cuda/cuda_ops.h"
#include "ops/cuda/cuda_sampler.h"

namespace quire {
namespace {

// The most splits that a row's keys make in any layer.
int64_t MaxSplits(const ModelConfig& model, int64_t max_context) {
  int64_t splits = 1;
  for (const LayerConfig& layer : model.layers) {
    const int prefix = std::max(layer.sinks, model.sink_tokens);
    splits = std::max(splits, GqaDecodeMaxSplits(max_context, layer.window, prefix));
  }
  return splits;
}

// Of a batch: kinds of layers, full and with a window, with sinks and without.
constexpr int kDecodePlans = 4;

// Sequences whose penalties' counts are kept: all that run, and some that have ended, so that a new
// one need not take the row of one that runs. Within 256 MiB.
int64_t NumPenaltyRows(int64_t vocab_size, int64_t max_num_sequences) {
  const int64_t least = CudaSamplerOptions().max_edited_rows;
  const int64_t affordable = (int64_t{256} << 20) / (vocab_size * int64_t{sizeof(int32_t)});
  return std::clamp(max_num_sequences + least, least, std::max(least, affordable));
}

// Rows of logits that are changed in one turn: those of all that run, within 64 MiB.
int64_t NumEditedRows(int64_t vocab_size, int64_t max_num_sequences) {
  const int64_t least = CudaSamplerOptions().max_edited_rows;
  const int64_t affordable = (int64_t{64} << 20) / (vocab_size * int64_t{sizeof(float)});
  return std::clamp(max_num_sequences, least, std::max(least, affordable));
}

class CudaBackend : public Backend {
 public:
  CudaBackend(CudaDevice device, int threads)
      : device_(std::move(device)), weight_memory_(*device_.memory), pool_(threads) {}

  absl::Status Start(const BackendOptions& options, const ModelConfig& model) {
    QUIRE_ASSIGN_OR_RETURN(const CpuIsa isa, ChooseCpuIsa(options.cpu_isa));
    max_rows_ = options.max_batch_tokens;
    gpu_memory_fraction_ = options.gpu_memory_fraction;
    QUIRE_ASSIGN_OR_RETURN(ops_, MakeCudaOps(*device_.queue, weight_memory_, pool_,
                                             {.max_rows = max_rows_,
                                              .max_width = model.hidden_size,
                                              .isa = isa,
                                              .staging_bytes = device_.staging_bytes,
                                              .prompt_gemm = device_.prompt_gemm.get()}));
    CudaAttentionLimits limits{.max_rows = options.max_batch_tokens,
                               .multiprocessors = device_.multiprocessors};
    if (!model.mla && !model.is_encoder) {
      limits.num_heads = model.num_heads;
      limits.head_dim = model.head_dim;
      limits.value_dim = model.value_dim;
      limits.max_splits = MaxSplits(model, options.max_context);
      limits.plans = kDecodePlans;
    }
    QUIRE_ASSIGN_OR_RETURN(attention_, MakeCudaAttention(*device_.queue, *device_.memory, limits));
    QUIRE_ASSIGN_OR_RETURN(
        sampler_,
        MakeCudaSampler(
            *device_.queue, *device_.memory,
            {.vocab_size = model.vocab_size,
             .max_edited_rows = NumEditedRows(model.vocab_size, options.max_num_sequences),
             .penalty_rows = NumPenaltyRows(model.vocab_size, options.max_num_sequences),
             .slots = kCudaPipelineDepth,
             .max_draws = options.max_batch_tokens}));
    return absl::OkStatus();
  }

  DeviceMemory& memory() override { return *device_.memory; }
  Ops& ops() override { return *ops_; }
  Attention& attention() override { return *attention_; }
  absl::StatusOr<std::unique_ptr<Mla>> MakeMla(const MlaLimits& limits) override {
    return MakeCudaMla(*device_.queue, *device_.memory, limits, device_.multiprocessors);
  }
  Sampler& sampler() override { return *sampler_; }
  absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(Decoder& decoder,
                                                         const BatchLimits& limits) override {
    return MakeCudaExecutor(decoder, *sampler_, *device_.queue, *device_.memory, limits,
                            {.free_bytes = device_.free_bytes});
  }

  std::string Describe() const override { return absl::StrCat("cuda (", device_.name, ")"); }

  // Kernels compute in bfloat16 or float32; float16 checkpoints lose three bits of their weights.
  absl::StatusOr<DType> ActDType(DType stored, std::optional<DType> wanted) const override {
    if (wanted == DType::kFloat16) {
      return absl::InvalidArgumentError(
          "--dtype float16: the CUDA backend computes in bfloat16 or float32; use one of these, or "
          "auto");
    }
    const DType chosen = wanted.value_or(stored);
    return chosen == DType::kFloat16 ? DType::kBFloat16 : chosen;
  }

  int pipeline_depth() const override { return kCudaPipelineDepth; }
  bool pads_batches() const override { return true; }
  bool prefill_equals_decode() const override { return false; }
  bool is_batch_invariant() const override {
    return device_.prompt_gemm == nullptr || device_.prompt_gemm->is_batch_invariant();
  }
  int default_block_tokens() const override { return 64; }
  // The server's share of the GPU is for it.
  size_t DefaultKvBytes(size_t left) const override { return left; }

  std::unique_ptr<WeightSizer> MakeWeightSizer() override { return MakeCudaWeightSizer(max_rows_); }
  size_t ExecutorBytes(const BatchLimits& limits) const override {
    return AllocationBytes(DevicePlacement::Bytes(limits));
  }
  size_t ReserveBytes() const override { return device_.reserve_bytes; }
  absl::Status ReserveWeights(size_t bytes) override {
    return device_.rounds_buffers ? weight_memory_.Reserve(bytes) : absl::OkStatus();
  }
  std::optional<double> gpu_memory_fraction() const override { return gpu_memory_fraction_; }

 private:
  // In the order in which they borrow from each other.
  CudaDevice device_;
  WeightMemory weight_memory_;
  ThreadPool pool_;
  int64_t max_rows_ = 0;
  double gpu_memory_fraction_ = 0.0;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Attention> attention_;
  std::unique_ptr<CudaSampler> sampler_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(CudaDevice device,
                                                         const BackendOptions& options,
                                                         const ModelConfig& model) {
  const int threads = options.threads > 0 ? options.threads : UsableCpus();
  auto backend = std::make_unique<CudaBackend>(std::move(device), threads);
  QUIRE_RETURN_IF_ERROR(backend->Start(options, model));
  return backend;
}

}  // namespace quire
