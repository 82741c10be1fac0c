// What tests may say and see of the emulated device behind MakeBackend (emulated_backend.cc).
#ifndef QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
#define QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_

#include <atomic>

#include "core/cuda/emulation/emulated_queue.h"

namespace quire::testing {

// Of the backend that was made last; it goes with it.
extern std::atomic<emulation::EmulatedQueue*> latest_emulated_queue;

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
