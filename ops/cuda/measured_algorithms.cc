#include "ops/cuda/measured_algorithms.h"

#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quire {
namespace {

auto KeyOf(const MeasuredAlgorithm& row) {
  return std::tuple(row.major, row.minor, row.multiprocessors, row.act, row.out, row.n, row.k);
}

std::string SourceName(DType dtype) {
  return dtype == DType::kBFloat16 ? "DType::kBFloat16" : "DType::kFloat32";
}

}  // namespace

absl::Span<const MeasuredAlgorithm> MeasuredAlgorithms() {
  static const auto* const table = new std::vector<MeasuredAlgorithm>{
#include "ops/cuda/measured_algorithms.inc"
  };
  return *table;
}

absl::Status CheckTable(absl::Span<const MeasuredAlgorithm> table) {
  for (size_t i = 0; i < table.size(); ++i) {
    const auto fault = [&](const char* what) {
      return absl::InternalError(absl::StrCat("row ", i, " of the measured algorithms ", what, ": ",
                                              SourceText(table[i])));
    };
    if (!table[i].config.takes_k_whole()) return fault("splits K");
    for (size_t j = 0; j < i; ++j) {
      if (KeyOf(table[i]) == KeyOf(table[j])) return fault("has an earlier row's key");
    }
  }
  return absl::OkStatus();
}

std::optional<AlgorithmConfig> FindMeasured(absl::Span<const MeasuredAlgorithm> table,
                                            const GpuIdentity& gpu, const ProductKind& kind) {
  const auto key =
      std::tuple(gpu.major, gpu.minor, gpu.multiprocessors, kind.act, kind.out, kind.n, kind.k);
  for (const MeasuredAlgorithm& row : table) {
    if (KeyOf(row) == key) return row.config;
  }
  return std::nullopt;
}

std::string SourceText(const MeasuredAlgorithm& row) {
  return absl::StrCat("{", row.major, ", ", row.minor, ", ", row.multiprocessors, ", ",
                      SourceName(row.act), ", ", SourceName(row.out), ", ", row.n, ", ", row.k,
                      ", {", absl::StrJoin(row.config.numbers(), ", "), "}},");
}

}  // namespace quire
