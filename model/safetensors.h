// The tensors of a checkpoint directory: one model.safetensors, or several named by
// model.safetensors.index.json, memory-mapped and checked before anything is read.
//
// The format: 8 bytes header length N, little-endian; N bytes of JSON, {name: {dtype, shape,
// data_offsets: [begin, end)}, "__metadata__": ...}; then the data, which the tensors cover without
// gap or overlap (huggingface/safetensors, "Format").
#ifndef QUIRE_MODEL_SAFETENSORS_H_
#define QUIRE_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/dtype.h"
#include "core/file.h"

namespace quire {

struct StoredTensor {
  std::string dtype_name;      // as the file has it: "BF16", "F8_E4M3", ...
  std::optional<DType> dtype;  // unset for types that we don't compute with
  std::vector<int64_t> shape;
  const MappedFile* file = nullptr;
  size_t begin = 0;  // in the file
  size_t bytes = 0;

  const void* data() const { return file->data() + begin; }
};

class SafetensorsCheckpoint {
 public:
  // A fault is one INVALID_ARGUMENT (or NOT_FOUND) line: which file, which tensor, what was found,
  // what was expected.
  static absl::StatusOr<std::unique_ptr<SafetensorsCheckpoint>> Open(const std::string& directory);

  // By name, in order.
  const absl::btree_map<std::string, StoredTensor>& tensors() const { return tensors_; }
  // Null where there is none.
  const StoredTensor* Find(absl::string_view name) const;

 private:
  SafetensorsCheckpoint() = default;
  absl::Status AddFile(const std::string& path);
  absl::Status CheckIndex(const std::string& directory, const std::string& index_path);

  std::vector<std::unique_ptr<MappedFile>> files_;
  absl::btree_map<std::string, StoredTensor> tensors_;
};

}  // namespace quire

#endif  // QUIRE_MODEL_SAFETENSORS_H_
