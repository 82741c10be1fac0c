// The kernel of all_primitives.cuh in the emulation.
#ifndef QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_EMULATED_H_
#define QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_EMULATED_H_

#include <cstdint>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "tests/core/cuda/all_primitives.cuh"

namespace quire::testing {

inline std::vector<float> AllPrimitivesInputs() {
  std::vector<float> x(cuda_emulated::kAllInputs);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 7 % 17) - 8);
  return x;
}

// [num_records, kAllThreads]
inline std::vector<uint32_t> RunAllPrimitivesEmulated(const std::vector<float>& x, uint32_t seed) {
  using emulation::GlobalBuffer;
  const GlobalBuffer<float> x_memory("x", x);
  const GlobalBuffer<uint32_t> counters("counters", std::vector<uint32_t>(2, 0));
  const GlobalBuffer<uint32_t> out("out", cuda_emulated::kAllRecords * cuda_emulated::kAllThreads);
  const GlobalBuffer<uint32_t> num_records("num_records", 1);
  emulation::EmulatedLauncher launcher({.seed = seed});
  cuda_emulated::LaunchAllPrimitives(launcher,
                                     {cuda_emulated::Global<const float>(x_memory.data()),
                                      cuda_emulated::Global<uint32_t>(counters.data()),
                                      cuda_emulated::Global<uint32_t>(out.data()),
                                      cuda_emulated::Global<uint32_t>(num_records.data())});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
  EXPECT_EQ(counters[1], 7U);
  return {out.data(), out.data() + num_records[0] * cuda_emulated::kAllThreads};
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_EMULATED_H_
