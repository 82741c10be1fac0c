#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "engine/backend.h"
#include "engine/cpu_backend.h"

#if QUIRE_WITH_CUDA
#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/open_cuda_device.h"
#endif

namespace quire {
namespace {

#if QUIRE_WITH_CUDA
bool FindsGpu() { return HasCudaDevice(); }

absl::StatusOr<std::unique_ptr<Backend>> MakeGpuBackend(const BackendOptions& options,
                                                        const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(CudaDevice device, OpenCudaDevice(options));
  return MakeCudaBackend(std::move(device), options, model);
}
#else
bool FindsGpu() { return false; }

absl::StatusOr<std::unique_ptr<Backend>> MakeGpuBackend(const BackendOptions& /*options*/,
                                                        const ModelConfig& /*model*/) {
  return absl::FailedPreconditionError("this build has no CUDA backend; use --device cpu");
}
#endif

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  if (options.device == "cpu") return MakeCpuBackend(options, model);
  if (options.device == "cuda") return MakeGpuBackend(options, model);
  if (options.device == "auto") {
    return FindsGpu() ? MakeGpuBackend(options, model) : MakeCpuBackend(options, model);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown device \"", options.device, "\"; expected auto, cpu or cuda"));
}

}  // namespace quire
