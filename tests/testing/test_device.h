// The CUDA device that a test program runs on. It links one of two: a GPU
// (cuda/gpu_test_device.cc), or the emulation (emulated_test_device.cc).
#ifndef QUIRE_TESTS_TESTING_TEST_DEVICE_H_
#define QUIRE_TESTS_TESTING_TEST_DEVICE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/cuda/cuda_backend.h"

namespace quire::testing {

// The emulation is slow: tests run on it what is small.
bool TestDeviceIsEmulated();

// False where there is no GPU: the tests skip.
bool HasTestDevice();

// For batches of max_rows rows.
absl::StatusOr<CudaDevice> OpenTestDevice(int64_t max_rows);

// What programs have taken of the device's memory, however they took it; of the emulation's, 0.
size_t TestDeviceBytesInUse();

}  // namespace quire::testing

// In SetUp, or first in a test.
#define QUIRE_SKIP_WITHOUT_TEST_DEVICE() \
  if (!::quire::testing::HasTestDevice()) GTEST_SKIP() << "there is no CUDA device"

#endif  // QUIRE_TESTS_TESTING_TEST_DEVICE_H_
