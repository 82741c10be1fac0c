// A device and everything that runs on it, behind the interfaces of ops and attention.
#ifndef QUIRE_ENGINE_BACKEND_H_
#define QUIRE_ENGINE_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attention/attention.h"
#include "attention/mla.h"
#include "core/device_memory.h"
#include "core/dtype.h"
#include "engine/executor.h"
#include "model/decoder.h"
#include "model/model_config.h"
#include "ops/ops.h"
#include "ops/sampler.h"
#include "ops/weight_sizer.h"

namespace quire {

class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceMemory& memory() = 0;
  virtual Ops& ops() = 0;
  virtual Attention& attention() = 0;
  // Latent attention, for models that have it. RESOURCE_EXHAUSTED when memory ends.
  virtual absl::StatusOr<std::unique_ptr<Mla>> MakeMla(const MlaLimits& limits) = 0;
  virtual Sampler& sampler() = 0;
  // Of `decoder`, which runs on this backend. RESOURCE_EXHAUSTED when memory ends.
  virtual absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(Decoder& decoder,
                                                                 const BatchLimits& limits) = 0;

  // "cpu, avx512, 2 threads": for people.
  virtual std::string Describe() const = 0;
  // The type that a model stored in `stored` computes in; INVALID_ARGUMENT where `wanted` is one
  // that the device does not compute in.
  virtual absl::StatusOr<DType> ActDType(DType stored, std::optional<DType> wanted) const = 0;
  // Plans that may be outstanding.
  virtual int pipeline_depth() const = 0;
  // Whether batches are filled up with rows that belong to nobody: each KV group has a block for
  // them.
  virtual bool pads_batches() const { return false; }
  // Whether prefill and decode kernels agree to the bit.
  virtual bool prefill_equals_decode() const = 0;
  // Whether a row's bits are the same whatever else is in the batch.
  virtual bool is_batch_invariant() const = 0;
  virtual int default_block_tokens() const = 0;
  // What the KV cache takes unasked, of `left` bytes beside all else.
  virtual size_t DefaultKvBytes(size_t left) const = 0;

  // Of what memory() has: what weights will take,
  virtual std::unique_ptr<WeightSizer> MakeWeightSizer() = 0;
  // what MakeExecutor takes,
  virtual size_t ExecutorBytes(const BatchLimits& limits) const = 0;
  // and what stays free, for what the device's driver takes by itself.
  virtual size_t ReserveBytes() const = 0;
  // So many bytes of weights are about to be made. RESOURCE_EXHAUSTED when memory ends.
  virtual absl::Status ReserveWeights(size_t /*bytes*/) { return absl::OkStatus(); }
  // How much of a GPU memory() is; none where it is of none.
  virtual std::optional<double> gpu_memory_fraction() const { return std::nullopt; }
};

struct BackendOptions {
  std::string device = "auto";       // auto, cpu, cuda
  std::string cpu_isa = "auto";      // see core/cpu/cpu_isa.h
  int threads = 0;                   // 0: as many as the CPUs that this process may use
  double gpu_memory_fraction = 0.9;  // that may be taken, of a GPU's
  // False: where that is faster, a row's bits may depend on the batch. The CPU has nothing faster.
  bool batch_invariance = true;
  // Where measured choices are kept from one start to the next; empty: nowhere.
  std::string cache_dir;
  std::function<void(absl::string_view)> log;  // lines for people; or empty
  // Rows of one step, sequences that run at once, and tokens of a sequence, at most: they size
  // scratch memory.
  int64_t max_batch_tokens = 0;
  int64_t max_num_sequences = 0;
  int64_t max_context = 0;
};

// The one place that chooses (make_backend.cc; a test program may link another). INVALID_ARGUMENT
// or FAILED_PRECONDITION for a device that is not there.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model);

}  // namespace quire

#endif  // QUIRE_ENGINE_BACKEND_H_
