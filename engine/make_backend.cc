#include "absl/strings/str_cat.h"
#include "engine/backend.h"
#include "engine/cpu_backend.h"

namespace quire {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  if (options.device == "auto" || options.device == "cpu") return MakeCpuBackend(options, model);
  if (options.device == "cuda") {
    return absl::FailedPreconditionError("this build has no CUDA backend; use --device cpu");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown device \"", options.device, "\"; expected auto, cpu or cuda"));
}

}  // namespace quire
