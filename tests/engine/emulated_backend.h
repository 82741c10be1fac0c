// What tests may say and see of the emulated device behind MakeBackend (emulated_backend.cc).
#ifndef QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
#define QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_

#include <atomic>
#include <cstddef>

#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"

namespace quire::testing {

// What the device has, of which --gpu-memory-fraction may be taken.
inline constexpr size_t kEmulatedMemoryBytes = size_t{2} << 30;

// Of the backend that was made last; they go with it.
extern std::atomic<emulation::EmulatedQueue*> latest_emulated_queue;
extern std::atomic<emulation::EmulatedMemory*> latest_emulated_memory;

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
