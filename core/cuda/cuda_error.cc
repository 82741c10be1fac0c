#include "core/cuda/cuda_error.h"

#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire {
namespace {

std::function<void(const std::string&)>& Handler() {
  static auto* handler = new std::function<void(const std::string&)>;
  return *handler;
}

}  // namespace

void SetCudaFailureHandler(std::function<void(const std::string& line)> handler) {
  Handler() = std::move(handler);
}

void EndAfterCudaError(cudaError_t error, const char* what, const char* file, int line) {
  // A handler that meets the next error on its own thread must not wait for itself.
  static std::recursive_mutex mutex;
  static bool handled = false;
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!handled) {
    handled = true;
    const std::string message = absl::StrCat(
        "quire: CUDA error ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ") from ",
        what, " at ", file, ":", line, "; the device's context is lost, the process ends");
    std::fprintf(stderr, "%s\n", message.c_str());
    if (Handler()) Handler()(message);
  }
  std::fflush(nullptr);
  ::_exit(kCudaErrorExitCode);
}

}  // namespace quire
