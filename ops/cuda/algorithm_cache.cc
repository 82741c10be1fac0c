#include "ops/cuda/algorithm_cache.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/file.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr int64_t kFormat = 1;
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

std::string FileName(const GpuIdentity& gpu, size_t cublas_version) {
  std::string name =
      absl::StrCat("cublas-", gpu.name, "-", gpu.driver_version, "-", cublas_version, ".json");
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  }
  return name;
}

absl::StatusOr<DType> DTypeOf(const JsonNode& entry, absl::string_view key) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode node, entry.Member(key));
  QUIRE_ASSIGN_OR_RETURN(const std::string name, node.String());
  const absl::StatusOr<DType> dtype = ParseDType(name);
  if (!dtype.ok() || *dtype == DType::kFloat16) return node.Unexpected("bfloat16 or float32");
  return *dtype;
}

absl::StatusOr<int64_t> IntegerOf(const JsonNode& entry, absl::string_view key, int64_t min,
                                  int64_t max) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode node, entry.Member(key));
  return node.Integer(min, max);
}

// The directory is made too. `path` is a file of its own until it is renamed.
absl::Status WriteWhole(const std::string& path, const std::string& text) {
  const std::string draft = absl::StrCat(path, ".", getpid());
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  std::ofstream file(draft, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file.fail()) {
    std::error_code ignored;
    std::filesystem::remove(draft, ignored);
    return absl::UnavailableError(error ? error.message() : absl::StrCat("can't write ", draft));
  }
  std::filesystem::rename(draft, path, error);
  if (!error) return absl::OkStatus();
  const std::string why = error.message();
  std::filesystem::remove(draft, error);
  return absl::UnavailableError(why);
}

}  // namespace

AlgorithmCache::AlgorithmCache(const std::string& directory, const GpuIdentity& gpu,
                               size_t cublas_version, std::function<void(absl::string_view)> log)
    : gpu_(gpu), cublas_version_(cublas_version), log_(std::move(log)) {
  if (directory.empty()) return;
  path_ = (std::filesystem::path(directory) / FileName(gpu, cublas_version)).string();
  const absl::StatusOr<std::string> text = ReadFile(path_);
  if (absl::IsNotFound(text.status())) return;
  const absl::Status status = text.ok() ? Read(*text) : text.status();
  if (status.ok()) return;
  entries_.clear();
  log_(absl::StrCat("--cache-dir: ", status.message(),
                    "; the file is left aside and measured anew"));
}

absl::Status AlgorithmCache::Read(const std::string& text) {
  QUIRE_ASSIGN_OR_RETURN(const std::unique_ptr<JsonDocument> document,
                         JsonDocument::FromText(text, path_));
  const JsonNode root = document->root();
  QUIRE_ASSIGN_OR_RETURN(const int64_t format, IntegerOf(root, "format", 0, kMost));
  QUIRE_ASSIGN_OR_RETURN(const std::string gpu, root.StringOr("gpu", ""));
  QUIRE_ASSIGN_OR_RETURN(const int64_t driver, IntegerOf(root, "driver", 0, kMost));
  QUIRE_ASSIGN_OR_RETURN(const int64_t version, IntegerOf(root, "cublaslt", 0, kMost));
  if (format != kFormat || gpu != gpu_.name || driver != gpu_.driver_version ||
      version != static_cast<int64_t>(cublas_version_)) {
    return root.Error(absl::StrCat("is of another GPU, driver, cuBLASLt or format (", gpu, ", ",
                                   driver, ", ", version, ", ", format, ")"));
  }
  QUIRE_ASSIGN_OR_RETURN(const JsonNode algorithms, root.Member("algorithms"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> entries, algorithms.Elements());
  for (const JsonNode& entry : entries) QUIRE_RETURN_IF_ERROR(ReadEntry(entry));
  return absl::OkStatus();
}

absl::Status AlgorithmCache::ReadEntry(const JsonNode& entry) {
  ProductKind kind;
  QUIRE_ASSIGN_OR_RETURN(kind.act, DTypeOf(entry, "act"));
  QUIRE_ASSIGN_OR_RETURN(kind.out, DTypeOf(entry, "out"));
  QUIRE_ASSIGN_OR_RETURN(kind.n, IntegerOf(entry, "n", 1, kMost));
  QUIRE_ASSIGN_OR_RETURN(kind.k, IntegerOf(entry, "k", 1, kMost));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode bias, entry.Member("bias"));
  QUIRE_ASSIGN_OR_RETURN(kind.has_bias, bias.Bool());
  QUIRE_ASSIGN_OR_RETURN(const int64_t rows, IntegerOf(entry, "rows", 1, kMost));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode config, entry.Member("config"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, config.Elements());
  std::array<int32_t, 9> numbers{};
  if (elements.size() != numbers.size()) return config.Unexpected("9 numbers");
  for (size_t i = 0; i < numbers.size(); ++i) {
    QUIRE_ASSIGN_OR_RETURN(const int64_t number,
                           elements[i].Integer(0, std::numeric_limits<int32_t>::max()));
    numbers[i] = static_cast<int32_t>(number);
  }
  entries_[{kind, rows}] = AlgorithmConfig::Of(numbers);
  return absl::OkStatus();
}

std::optional<AlgorithmConfig> AlgorithmCache::Find(const ProductKind& kind, int64_t rows) const {
  const auto found = entries_.find({kind, rows});
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

void AlgorithmCache::Add(const ProductKind& kind, int64_t rows, const AlgorithmConfig& config) {
  entries_[{kind, rows}] = config;
}

void AlgorithmCache::Write() {
  if (path_.empty()) return;
  const absl::Status status = WriteWhole(path_, Text());
  if (status.ok()) return;
  log_(absl::StrCat("--cache-dir: can't keep measured algorithms in ", path_, ": ",
                    status.message(), "; the next start measures anew"));
  path_.clear();
}

std::string AlgorithmCache::Text() const {
  std::vector<std::string> lines;
  for (const auto& [key, config] : entries_) {
    const auto& [kind, rows] = key;
    lines.push_back(absl::StrCat("  {\"act\": \"", DTypeName(kind.act), "\", \"out\": \"",
                                 DTypeName(kind.out), "\", \"n\": ", kind.n, ", \"k\": ", kind.k,
                                 ", \"bias\": ", kind.has_bias ? "true" : "false",
                                 ", \"rows\": ", rows, ", \"config\": [",
                                 absl::StrJoin(config.numbers(), ", "), "]}"));
  }
  std::sort(lines.begin(), lines.end());
  return absl::StrCat("{\"format\": ", kFormat, ", \"gpu\": ", Quoted(gpu_.name),
                      ", \"driver\": ", gpu_.driver_version, ", \"cublaslt\": ", cublas_version_,
                      ",\n \"algorithms\": [\n", absl::StrJoin(lines, ",\n"), "\n]}\n");
}

}  // namespace quire
