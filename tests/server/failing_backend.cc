// MakeBackend of a server whose device is lost some steps after the start: the CPU backend with an
// executor that fails.
#include <memory>
#include <string>
#include <utility>

#include "core/device_failure.h"
#include "core/status_macros.h"
#include "engine/backend.h"
#include "engine/cpu_backend.h"

namespace quire {
namespace {

constexpr int kGoodSteps = 20;

class FailingExecutor : public Executor {
 public:
  explicit FailingExecutor(std::unique_ptr<Executor> executor) : executor_(std::move(executor)) {}

  void Submit(const StepBatch& batch) override {
    if (++steps_ > kGoodSteps) EndAfterDeviceFailure("the device of this test is lost");
    executor_->Submit(batch);
  }
  const StepResult& Wait() override { return executor_->Wait(); }

 private:
  std::unique_ptr<Executor> executor_;
  int steps_ = 0;
};

class FailingBackend : public Backend {
 public:
  explicit FailingBackend(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}

  DeviceMemory& memory() override { return backend_->memory(); }
  Ops& ops() override { return backend_->ops(); }
  Attention& attention() override { return backend_->attention(); }
  absl::StatusOr<std::unique_ptr<Mla>> MakeMla(const MlaLimits& limits) override {
    return backend_->MakeMla(limits);
  }
  Sampler& sampler() override { return backend_->sampler(); }
  absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(Decoder& decoder,
                                                         const BatchLimits& limits) override {
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor,
                           backend_->MakeExecutor(decoder, limits));
    return std::make_unique<FailingExecutor>(std::move(executor));
  }
  std::string Describe() const override { return backend_->Describe(); }
  absl::StatusOr<DType> ActDType(DType stored, std::optional<DType> wanted) const override {
    return backend_->ActDType(stored, wanted);
  }
  int pipeline_depth() const override { return backend_->pipeline_depth(); }
  bool prefill_equals_decode() const override { return backend_->prefill_equals_decode(); }
  bool is_batch_invariant() const override { return backend_->is_batch_invariant(); }
  int default_block_tokens() const override { return backend_->default_block_tokens(); }
  size_t DefaultKvBytes(size_t left) const override { return backend_->DefaultKvBytes(left); }
  std::unique_ptr<WeightSizer> MakeWeightSizer() override { return backend_->MakeWeightSizer(); }
  size_t ExecutorBytes(const BatchLimits& limits) const override {
    return backend_->ExecutorBytes(limits);
  }
  absl::Status ReserveWeights(size_t bytes) override { return backend_->ReserveWeights(bytes); }
  size_t ReserveBytes() const override { return backend_->ReserveBytes(); }

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeCpuBackend(options, model));
  return std::make_unique<FailingBackend>(std::move(backend));
}

}  // namespace quire
