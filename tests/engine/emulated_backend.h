// The device that MakeBackend's emulation plays (emulated_backend.cc).
#ifndef QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
#define QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_

#include <cstddef>

namespace quire::testing {

// Shared memory of a block, of backends made later; before, it is kMaxSharedBytes.
void SetEmulatedSharedBytes(size_t bytes);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_EMULATED_BACKEND_H_
