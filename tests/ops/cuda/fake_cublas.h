// cuBLASLt's functions, computed on the host: linked in the place of the library's. It has the
// algorithms that a test gives it, refuses what they don't take, and writes down what it is asked.
#ifndef QUIRE_TESTS_OPS_CUDA_FAKE_CUBLAS_H_
#define QUIRE_TESTS_OPS_CUDA_FAKE_CUBLAS_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "ops/cuda/algorithm_config.h"

namespace quire::testing {

struct FakeAlgorithm {
  AlgorithmConfig config;
  size_t workspace_bytes = 0;
  int64_t max_rows = std::numeric_limits<int64_t>::max();  // that it takes
  bool depends_on_rows = false;  // the order of its sums does, as it does where K is split
  double seconds = 1e-6;         // of a product, and
  double seconds_of_row = 0.0;   // more for each row
};

struct FakeProduct {
  AlgorithmConfig config;
  int64_t rows = 0;
  const void* workspace = nullptr;
  size_t workspace_bytes = 0;
};

// A search for algorithms.
struct FakeSearch {
  int64_t rows = 0;
  int most = 0;
  size_t workspace_bytes = 0;
  uint32_t reductions = 0;
};

struct FakeCublas {
  absl::Status load_status;
  size_t version = 130100;
  std::vector<FakeAlgorithm> algorithms;  // in the order in which searches find them

  // What it was asked.
  double now = 0.0;  // seconds that products took
  int handles = 0;   // that are there
  std::vector<FakeProduct> products;
  std::vector<FakeSearch> searches;
};

// The one that the functions are of.
FakeCublas& Cublas();

}  // namespace quire::testing

#endif  // QUIRE_TESTS_OPS_CUDA_FAKE_CUBLAS_H_
