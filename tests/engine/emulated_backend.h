// The CUDA backend over the emulation of its device: the only one of a program that links this.
#ifndef QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
#define QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_

#include <memory>

#include "absl/status/statusor.h"
#include "engine/backend.h"

namespace quire::testing {

// A BackendMaker. Races in shared memory are for the kernels' own tests: looking for them takes
// most of the time.
absl::StatusOr<std::unique_ptr<Backend>> MakeEmulatedCudaBackend(const BackendOptions& options,
                                                                 const ModelConfig& model);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
