// Small kernels for tests of the emulation, and the faults that it finds in them.
#ifndef QUIRE_TESTS_CORE_PLANTED_KERNEL_H_
#define QUIRE_TESTS_CORE_PLANTED_KERNEL_H_

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "core/cuda/emulation/launcher.h"
#include "core/cuda/primitives/target.cuh"
#include "gtest/gtest.h"

namespace quire::QUIRE_CUDA_TARGET {

inline std::vector<float> Iota(int64_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

inline LaunchShape Shape(int threads, size_t shared_bytes = 0, int64_t blocks = 1) {
  return {
      .name = "planted", .grid = {.x = blocks}, .threads = threads, .shared_bytes = shared_bytes};
}

// The fault of a kernel in every order of its threads; the same kind in all, or none.
template <typename Kernel>
std::string FaultOf(const LaunchShape& shape, Kernel kernel, bool detect_races = true) {
  std::string fault;
  for (uint32_t seed = 0; seed < 5; ++seed) {
    const absl::Status status =
        emulation::RunGrid(shape, {.seed = seed, .detect_races = detect_races}, kernel);
    if (seed == 0) fault = std::string(status.message());
    EXPECT_EQ(status.ok(), fault.empty()) << status << " with seed " << seed << ", but " << fault;
  }
  return fault;
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_TESTS_CORE_PLANTED_KERNEL_H_
