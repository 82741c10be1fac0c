#ifndef QUIRE_ENGINE_CPU_BACKEND_H_
#define QUIRE_ENGINE_CPU_BACKEND_H_

#include <memory>

#include "absl/status/statusor.h"
#include "engine/backend.h"

namespace quire {

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const BackendOptions& options,
                                                        const ModelConfig& model);

}  // namespace quire

#endif  // QUIRE_ENGINE_CPU_BACKEND_H_
