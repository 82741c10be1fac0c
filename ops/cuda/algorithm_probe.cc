#include "ops/cuda/algorithm_probe.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "core/elements.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Rows that differ; a prime, so that the same row comes to stand everywhere in a tile.
constexpr int64_t kPatternRows = 61;

struct OwnMatrix {
  DeviceBuffer buffer;
  DeviceMatrix view;
};

absl::StatusOr<OwnMatrix> Allocate(DeviceMemory& memory, DType dtype, int64_t rows, int64_t cols) {
  const int64_t stride = CudaLinear::RowStride(cols, dtype);
  QUIRE_ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      memory.Allocate(static_cast<size_t>(rows * stride) * DTypeBytes(dtype), "measuring"));
  const DeviceMatrix view{buffer.data(), dtype, rows, cols, stride};
  return OwnMatrix{.buffer = std::move(buffer), .view = view};
}

}  // namespace

absl::StatusOr<AlgorithmProbe> AlgorithmProbe::Create(const CublasMatmul& matmul,
                                                      DeviceQueue& queue, DeviceMemory& memory,
                                                      const CudaLinear& linear, DType out,
                                                      int64_t max_rows, Clock clock) {
  AlgorithmProbe probe(matmul, queue, linear, std::move(clock));
  QUIRE_ASSIGN_OR_RETURN(OwnMatrix x,
                         Allocate(memory, linear.act_dtype(), max_rows, linear.in_features()));
  QUIRE_ASSIGN_OR_RETURN(OwnMatrix y, Allocate(memory, out, max_rows, linear.out_features()));
  probe.x_buffer_ = std::move(x.buffer);
  probe.y_buffer_ = std::move(y.buffer);
  probe.x_ = x.view;
  probe.y_ = y.view;
  probe.FillRows();
  return probe;
}

void AlgorithmProbe::FillRows() {
  const int64_t pattern = std::min(kPatternRows, x_.rows);
  const size_t element = DTypeBytes(x_.dtype);
  const size_t row_bytes = static_cast<size_t>(x_.row_stride) * element;
  std::vector<char> rows(static_cast<size_t>(pattern) * row_bytes, 0);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int64_t r = 0; r < pattern; ++r) {
    for (int64_t c = 0; c < x_.cols; ++c) {
      StoreElement(rows.data(), x_.dtype, r * x_.row_stride + c, normal(random));
    }
  }
  for (int64_t r = 0; r < x_.rows; r += pattern) {
    const auto some = static_cast<size_t>(std::min(pattern, x_.rows - r));
    queue_.CopyToDevice(x_.Rows(r, 1).data, rows.data(), some * row_bytes);
  }
  queue_.Wait();
}

void AlgorithmProbe::Multiply(const CublasAlgorithm& algorithm, int64_t rows) {
  matmul_.Multiply(algorithm, linear_, x_.Rows(0, rows), y_.Rows(0, rows));
}

size_t AlgorithmProbe::ResultRowBytes() const {
  return static_cast<size_t>(y_.row_stride) * DTypeBytes(y_.dtype);
}

std::vector<char> AlgorithmProbe::ReadResults(int64_t begin, int64_t count) {
  std::vector<char> bytes(static_cast<size_t>(count) * ResultRowBytes());
  queue_.CopyToHost(bytes.data(), y_.Rows(begin, count).data, bytes.size());
  queue_.Wait();
  return bytes;
}

// What an earlier product left there is not taken for a result.
void AlgorithmProbe::SpoilResults(int64_t begin, int64_t count) {
  const std::vector<char> ones(static_cast<size_t>(count) * ResultRowBytes(), '\xff');
  queue_.CopyToDevice(y_.Rows(begin, count).data, ones.data(), ones.size());
  queue_.Wait();
}

bool AlgorithmProbe::HasBitsOf(const std::vector<char>& pattern, int64_t begin, int64_t count) {
  const std::vector<char> got = ReadResults(begin, count);
  const size_t used = static_cast<size_t>(y_.cols) * DTypeBytes(y_.dtype);
  for (int64_t r = 0; r < count; ++r) {
    const size_t expected = static_cast<size_t>((begin + r) % kPatternRows) * ResultRowBytes();
    const size_t at = static_cast<size_t>(r) * ResultRowBytes();
    if (std::memcmp(got.data() + at, pattern.data() + expected, used) != 0) return false;
  }
  return true;
}

bool AlgorithmProbe::IsInvariant(const CublasAlgorithm& algorithm,
                                 absl::Span<const int64_t> numbers_of_rows) {
  const int64_t pattern_rows = std::min(kPatternRows, x_.rows);
  Multiply(algorithm, pattern_rows);
  const std::vector<char> pattern = ReadResults(0, pattern_rows);
  for (int64_t rows : numbers_of_rows) {
    const int64_t some = std::min(rows, kPatternRows);
    SpoilResults(0, some);
    SpoilResults(rows - some, some);
    Multiply(algorithm, rows);
    if (!HasBitsOf(pattern, 0, some) || !HasBitsOf(pattern, rows - some, some)) return false;
  }
  return true;
}

double AlgorithmProbe::Seconds(const CublasAlgorithm& algorithm, int64_t rows) {
  constexpr int kRounds = 3;
  constexpr int kProducts = 5;  // behind each other, so that launches cost little
  Multiply(algorithm, rows);    // brings code and weights in
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    queue_.Wait();
    const double start = clock_();
    for (int i = 0; i < kProducts; ++i) Multiply(algorithm, rows);
    queue_.Wait();
    least = std::min(least, (clock_() - start) / kProducts);
  }
  return least;
}

}  // namespace quire
