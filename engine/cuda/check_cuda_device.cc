#include "engine/cuda/check_cuda_device.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/cuda/launch_shape.h"

namespace quire {
namespace {

constexpr int kLeastCapability = 80;  // bf16 in mma.sync, cp.async

std::string Version(int capability) { return absl::StrCat(capability / 10, ".", capability % 10); }

}  // namespace

absl::Status CheckCudaDevice(absl::string_view name, const DeviceLimits& limits, bool has_kernels,
                             absl::string_view architectures) {
  const std::string capability = Version(limits.compute_capability);
  if (limits.compute_capability < kLeastCapability) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " has compute capability ", capability, "; the CUDA backend needs ",
                     Version(kLeastCapability), ": use --device cpu"));
  }
  if (limits.max_shared_bytes < kLeastSharedBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " has ", limits.max_shared_bytes,
                     " bytes of shared memory a block; the CUDA backend needs ", kLeastSharedBytes,
                     ": use --device cpu"));
  }
  if (!has_kernels) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, " has compute capability ", capability, "; this build has kernels for ",
        architectures, ": build with -DQUIRE_CUDA_ARCHITECTURES=", limits.compute_capability,
        ", or use --device cpu"));
  }
  return absl::OkStatus();
}

}  // namespace quire
