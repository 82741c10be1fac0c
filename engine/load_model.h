// From a checkpoint directory to a running engine: the whole start, in order.
#ifndef QUIRE_ENGINE_LOAD_MODEL_H_
#define QUIRE_ENGINE_LOAD_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device_memory.h"
#include "core/dtype.h"
#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/plan_memory.h"
#include "model/attention_sinks.h"
#include "model/decoder.h"
#include "model/kv_groups.h"
#include "model/model_config.h"
#include "model/weights.h"

namespace quire {

struct LoadOptions {
  std::string model;  // checkpoint directory
  BackendOptions backend;
  std::optional<DType> dtype;            // unset: the checkpoint's
  bool random_weights = false;           // config.json alone, weights from a fixed seed
  std::optional<size_t> kv_cache_bytes;  // unset: the backend's choice
  int block_tokens = 0;                  // 0: the backend's
  int64_t max_context = 0;               // 0: the model's
  RopeChoice rope_scaling;               // in place of the model's own
  AttentionSinkOptions sinks;            // in place of full attention
  int64_t max_batch_tokens = 512;
  int max_num_sequences = 64;
  int64_t max_queue = 1024;
  absl::Duration stall_limit = absl::Seconds(30);
};

// Owns the engine and everything below it.
class LoadedModel {
 public:
  // RESOURCE_EXHAUSTED with the memory plan where it can't fit, before weights are read. Faults of
  // files and options are one clear line.
  static absl::StatusOr<std::unique_ptr<LoadedModel>> Load(const LoadOptions& options,
                                                           const LoadProgress& progress);
  ~LoadedModel();

  Engine& engine() { return *engine_; }
  // The rotary scaling of requests that come from now on; the context's limit stays what it is.
  // INVALID_ARGUMENT or FAILED_PRECONDITION, and no change, where the model can't take it.
  absl::Status SetRopeScaling(const RopeChoice& choice);
  const ModelConfig& config() const { return config_; }
  DType act_dtype() const { return act_dtype_; }
  const std::string& device() const { return device_; }
  // What the executor made ready, for people; or nothing.
  const std::string& executor() const { return executor_; }
  bool is_batch_invariant() const { return backend_->is_batch_invariant(); }
  // What was planned at start, and what has been taken.
  const MemoryBudget& memory_budget() const { return memory_budget_; }
  std::vector<MemoryUse> memory_plan() const { return backend_->memory().Plan(); }
  // Bytes of one page id in each KV group, all its layers together.
  const std::vector<size_t>& block_bytes() const { return block_bytes_; }
  size_t kv_bytes_per_token() const { return kv_bytes_per_token_; }
  // Tensors of the checkpoint that the model has no use for.
  const std::vector<std::string>& unused_tensors() const { return unused_tensors_; }

 private:
  LoadedModel() = default;
  absl::Status Start(const LoadOptions& options, const LoadProgress& progress);
  absl::Status PlanContext(const LoadOptions& options, SchedulerConfig& scheduler) const;
  absl::StatusOr<RequestRope> RopeFor(const RopeChoice& choice) const;
  RopeRowLayout LayOut(const RequestRope& rope, int64_t context, const LoadOptions& options) const;

  ModelConfig config_;
  DType act_dtype_ = DType::kFloat32;
  std::string device_;
  std::string executor_;
  MemoryBudget memory_budget_;
  std::vector<size_t> block_bytes_;
  size_t kv_bytes_per_token_ = 0;
  std::vector<std::string> unused_tensors_;

  // In the order in which they borrow from each other.
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Mla> mla_;  // null where the model has none
  std::unique_ptr<KvStorage> kv_storage_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_LOAD_MODEL_H_
