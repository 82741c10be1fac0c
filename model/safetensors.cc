#include "model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/json.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// The reference implementation's bound.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct TypeSize {
  const char* name;
  size_t bits;
  std::optional<DType> dtype;
};
constexpr TypeSize kTypes[] = {
    {"F32", 32, DType::kFloat32},     {"BF16", 16, DType::kBFloat16},
    {"F16", 16, DType::kFloat16},     {"F64", 64, std::nullopt},
    {"I64", 64, std::nullopt},        {"U64", 64, std::nullopt},
    {"I32", 32, std::nullopt},        {"U32", 32, std::nullopt},
    {"I16", 16, std::nullopt},        {"U16", 16, std::nullopt},
    {"I8", 8, std::nullopt},          {"U8", 8, std::nullopt},
    {"BOOL", 8, std::nullopt},        {"F8_E4M3", 8, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},     {"F8_E8M0", 8, std::nullopt},
    {"F4", 4, std::nullopt},          {"C64", 64, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},     {"F6_E3M2", 6, std::nullopt},
    {"F8_E4M3FNUZ", 8, std::nullopt}, {"F8_E5M2FNUZ", 8, std::nullopt},
};

absl::StatusOr<StoredTensor> ReadTensor(const JsonNode& node, size_t data_begin,
                                        size_t data_bytes) {
  StoredTensor tensor;
  QUIRE_ASSIGN_OR_RETURN(const JsonNode dtype, node.Member("dtype"));
  QUIRE_ASSIGN_OR_RETURN(tensor.dtype_name, dtype.String());
  const TypeSize* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                      [&](const auto& t) { return tensor.dtype_name == t.name; });
  if (type == std::end(kTypes)) return dtype.Unexpected("a safetensors type such as BF16 or F32");
  tensor.dtype = type->dtype;

  QUIRE_ASSIGN_OR_RETURN(const JsonNode shape, node.Member("shape"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> dims, shape.Elements());
  int64_t bits = static_cast<int64_t>(type->bits);
  for (const JsonNode& dim : dims) {
    QUIRE_ASSIGN_OR_RETURN(const int64_t size, dim.Integer(0, int64_t{1} << 48));
    tensor.shape.push_back(size);
    if (__builtin_mul_overflow(bits, size, &bits)) return shape.Error("is too large");
  }
  QUIRE_ASSIGN_OR_RETURN(const JsonNode offsets, node.Member("data_offsets"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> ends, offsets.Elements());
  if (ends.size() != 2) return offsets.Unexpected("[begin, end]");
  const auto limit = static_cast<int64_t>(data_bytes);
  QUIRE_ASSIGN_OR_RETURN(const int64_t begin, ends[0].Integer(0, limit));
  QUIRE_ASSIGN_OR_RETURN(const int64_t end, ends[1].Integer(begin, limit));
  if (bits % 8 != 0 || end - begin != bits / 8) {
    return node.Error(absl::StrCat("has ", end - begin, " bytes of data, but its shape and type (",
                                   tensor.dtype_name, ") make ", bits / 8));
  }
  tensor.begin = data_begin + static_cast<size_t>(begin);
  tensor.bytes = static_cast<size_t>(end - begin);
  return tensor;
}

// The tensors must cover the data exactly.
absl::Status CheckCoverage(const std::string& path,
                           std::vector<std::pair<std::string, StoredTensor>>& tensors,
                           size_t data_begin, size_t file_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.begin, a.second.bytes) < std::pair(b.second.begin, b.second.bytes);
  });
  size_t at = data_begin;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.begin != at) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", Quoted(name), ": its data begins at byte ", tensor.begin - data_begin,
          " of the data, expected ", at - data_begin, " (tensors must follow without ",
          tensor.begin > at ? "gaps)" : "overlaps)"));
    }
    at += tensor.bytes;
  }
  if (at != file_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the tensors end at byte ", at,
                                                   ", but the file has ", file_bytes,
                                                   " bytes (is the download complete?)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SafetensorsCheckpoint::AddFile(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Open(path));
  uint64_t header_bytes = 0;
  if (file->bytes() >= sizeof(header_bytes)) {
    std::memcpy(&header_bytes, file->data(), sizeof(header_bytes));
  }
  const uint64_t room = file->bytes() < 8 ? 0 : file->bytes() - 8;
  if (header_bytes == 0 || header_bytes > std::min(room, kMaxHeaderBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the header's length is ", header_bytes, " bytes, expected 1 to ",
                     std::min(room, kMaxHeaderBytes), " (is this a safetensors file?)"));
  }
  QUIRE_ASSIGN_OR_RETURN(const auto header,
                         JsonDocument::FromText({file->data() + 8, header_bytes}, path));
  QUIRE_ASSIGN_OR_RETURN(const auto members, header->root().Members());
  const size_t data_begin = 8 + header_bytes;
  std::vector<std::pair<std::string, StoredTensor>> tensors;
  for (const auto& [name, node] : members) {
    if (name == "__metadata__") continue;
    QUIRE_ASSIGN_OR_RETURN(StoredTensor tensor,
                           ReadTensor(node, data_begin, file->bytes() - data_begin));
    tensor.file = file.get();
    tensors.emplace_back(name, std::move(tensor));
  }
  QUIRE_RETURN_IF_ERROR(CheckCoverage(path, tensors, data_begin, file->bytes()));
  for (auto& [name, tensor] : tensors) {
    const auto [held, is_new] = tensors_.try_emplace(name, std::move(tensor));
    if (!is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", Quoted(name), ": is a second tensor of ",
                       "this name; the other is in ", held->second.file->path()));
    }
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

// Opens the shards that the index names, and holds each tensor to the shard it promises.
absl::Status SafetensorsCheckpoint::CheckIndex(const std::string& directory,
                                               const std::string& index_path) {
  QUIRE_ASSIGN_OR_RETURN(const auto index, JsonDocument::FromFile(index_path));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode map, index->root().Member("weight_map"));
  QUIRE_ASSIGN_OR_RETURN(const auto entries, map.Members());
  std::set<std::string> shards;
  for (const auto& [name, node] : entries) {
    QUIRE_ASSIGN_OR_RETURN(const std::string shard, node.String());
    if (shard.empty() || shard.find('/') != std::string::npos || shard[0] == '.') {
      return node.Unexpected("the name of a file in the same directory");
    }
    shards.insert(shard);
  }
  for (const std::string& shard : shards) {
    QUIRE_RETURN_IF_ERROR(AddFile(absl::StrCat(directory, "/", shard)));
  }
  for (const auto& [name, node] : entries) {
    const StoredTensor* tensor = Find(name);
    const std::string promised = absl::StrCat(directory, "/", node.String().value());
    if (tensor == nullptr || tensor->file->path() != promised) {
      return node.Error(absl::StrCat("the tensor is ",
                                     tensor == nullptr
                                         ? "in no shard"
                                         : absl::StrCat("in ", tensor->file->path(), " instead")));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SafetensorsCheckpoint>> SafetensorsCheckpoint::Open(
    const std::string& directory) {
  std::unique_ptr<SafetensorsCheckpoint> checkpoint(new SafetensorsCheckpoint);
  const std::string index = directory + "/model.safetensors.index.json";
  const std::string single = directory + "/model.safetensors";
  // With both there, transformers reads the single file.
  if (FileExists(single)) {
    QUIRE_RETURN_IF_ERROR(checkpoint->AddFile(single));
  } else if (FileExists(index)) {
    QUIRE_RETURN_IF_ERROR(checkpoint->CheckIndex(directory, index));
  } else {
    return absl::NotFoundError(absl::StrCat(
        directory, ": has neither model.safetensors nor model.safetensors.index.json"));
  }
  return checkpoint;
}

const StoredTensor* SafetensorsCheckpoint::Find(absl::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace quire
