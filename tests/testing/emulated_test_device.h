// What tests choose of the emulated device.
#ifndef QUIRE_TESTS_TESTING_EMULATED_TEST_DEVICE_H_
#define QUIRE_TESTS_TESTING_EMULATED_TEST_DEVICE_H_

#include <cstddef>

namespace quire::testing {

// Shared memory of a block, of devices opened later; before, it is kMaxSharedBytes.
void SetEmulatedSharedBytes(size_t bytes);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_EMULATED_TEST_DEVICE_H_
