#include "engine/cpu_backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "attention/cpu/cpu_attention.h"
#include "attention/cpu/cpu_mla.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cpu/usable_cpus.h"
#include "core/status_macros.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/cpu_sampler.h"

namespace quire {
namespace {

class CpuBackend : public Backend {
 public:
  static absl::StatusOr<std::unique_ptr<Backend>> Create(CpuIsa isa, int threads,
                                                         int64_t max_batch_tokens,
                                                         const ModelConfig& model) {
    std::unique_ptr<CpuBackend> made(new CpuBackend(isa, threads));
    made->ops_options_.max_rows = max_batch_tokens;
    made->ops_ = MakeCpuOps(made->pool_, made->memory_, isa, made->ops_options_);
    made->sampler_ = MakeCpuSampler(made->pool_, isa, model.vocab_size);
    CpuAttentionLimits limits{.max_entries = max_batch_tokens,
                              .max_head_dim = model.head_dim,
                              .max_value_dim = model.value_dim};
    if (model.is_encoder) {
      limits.encoder_tokens = max_batch_tokens;  // a text is computed in one step
      limits.encoder_token_bytes = int64_t{model.num_kv_heads} *
                                   (model.head_dim + model.value_dim) *
                                   static_cast<int64_t>(sizeof(float));  // or less
    }
    QUIRE_ASSIGN_OR_RETURN(made->attention_,
                           MakeCpuAttention(made->pool_, made->memory_, isa, limits));
    return made;
  }

  DeviceMemory& memory() override { return memory_; }
  Ops& ops() override { return *ops_; }
  Attention& attention() override { return *attention_; }
  absl::StatusOr<std::unique_ptr<Mla>> MakeMla(const MlaLimits& limits) override {
    return MakeCpuMla(pool_, memory_, isa_, limits);
  }
  Sampler& sampler() override { return *sampler_; }
  absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(Decoder& decoder,
                                                         const BatchLimits& /*limits*/) override {
    return MakeInlineExecutor(decoder, *sampler_);
  }

  std::string Describe() const override {
    const absl::string_view isa = CpuIsaName(isa_);
    return absl::StrCat("cpu (", isa, ", ", pool_.num_threads(),
                        pool_.num_threads() == 1 ? " thread)" : " threads)");
  }

  absl::StatusOr<DType> ActDType(DType stored, std::optional<DType> wanted) const override {
    if (wanted == DType::kFloat16) {
      return absl::InvalidArgumentError(
          "--dtype float16: the CPU computes in bfloat16 or float32; use one of these, or auto");
    }
    const DType chosen = wanted.value_or(stored);
    return chosen == DType::kFloat16 ? DType::kFloat32 : chosen;
  }

  int pipeline_depth() const override { return 1; }
  bool prefill_equals_decode() const override { return true; }
  bool is_batch_invariant() const override { return true; }
  int default_block_tokens() const override { return 64; }
  // Others need memory too.
  size_t DefaultKvBytes(size_t left) const override { return std::min(size_t{4} << 30, left / 2); }

  std::unique_ptr<WeightSizer> MakeWeightSizer() override {
    return MakeCpuWeightSizer(pool_, memory_, isa_, ops_options_);
  }
  size_t ExecutorBytes(const BatchLimits& /*limits*/) const override { return 0; }
  size_t ReserveBytes() const override { return 0; }

 private:
  CpuBackend(CpuIsa isa, int threads) : isa_(isa), pool_(threads), memory_(pool_) {}

  CpuIsa isa_;
  ThreadPool pool_;
  HostMemory memory_;
  CpuOpsOptions ops_options_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Attention> attention_;
  std::unique_ptr<Sampler> sampler_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const BackendOptions& options,
                                                        const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(const CpuIsa isa, ChooseCpuIsa(options.cpu_isa));
  const int threads = options.threads > 0 ? options.threads : UsableCpus();
  return CpuBackend::Create(isa, threads, options.max_batch_tokens, model);
}

}  // namespace quire
