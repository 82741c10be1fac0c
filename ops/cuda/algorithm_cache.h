// Measured choices of algorithms, kept from one start of the server to the next.
#ifndef QUIRE_OPS_CUDA_ALGORITHM_CACHE_H_
#define QUIRE_OPS_CUDA_ALGORITHM_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/cuda/gpu_identity.h"
#include "core/json.h"
#include "ops/cuda/algorithm_config.h"

namespace quire {

// One JSON file for each GPU, driver and version of cuBLASLt. It saves time alone: a file that is
// foreign or broken, or a directory that can't be written, is one line of `log`.
class AlgorithmCache {
 public:
  // Reads the file of `directory` (made where it isn't there), if there is one. An empty directory:
  // nothing is read or written.
  AlgorithmCache(const std::string& directory, const GpuIdentity& gpu, size_t cublas_version,
                 std::function<void(absl::string_view)> log);

  // For rows up to `rows`, the end of a bucket.
  std::optional<AlgorithmConfig> Find(const ProductKind& kind, int64_t rows) const;
  void Add(const ProductKind& kind, int64_t rows, const AlgorithmConfig& config);
  // Replaces the file by what is here now, whole or not at all; once that has failed, nothing more
  // is tried.
  void Write();

  const std::string& path() const { return path_; }

 private:
  using Key = std::pair<ProductKind, int64_t>;

  absl::Status Read(const std::string& text);
  absl::Status ReadEntry(const JsonNode& entry);
  std::string Text() const;

  GpuIdentity gpu_;
  size_t cublas_version_;
  std::function<void(absl::string_view)> log_;
  std::string path_;  // empty: no file
  absl::flat_hash_map<Key, AlgorithmConfig> entries_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_ALGORITHM_CACHE_H_
