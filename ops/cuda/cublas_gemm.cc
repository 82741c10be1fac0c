#include "ops/cuda/cublas_gemm.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "ops/cuda/algorithm_cache.h"
#include "ops/cuda/algorithm_choice.h"
#include "ops/cuda/algorithm_probe.h"
#include "ops/cuda/cublas_matmul.h"

namespace quire {
namespace {

// Whose first choices stand in for the table: the same whatever the server's limits are.
constexpr int64_t kChoiceRows = 2048;
constexpr int kInvariantChoices = 16;
constexpr int kTimedChoices = 100;

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Numbers of rows at which bits are compared; more would take much memory.
std::vector<int64_t> RowsToCompare(int64_t max_rows) {
  std::vector<int64_t> rows = {1, 7, 64, 513};
  const int64_t most = std::min(max_rows, kChoiceRows);
  std::erase_if(rows, [&](int64_t m) { return m >= most; });
  rows.push_back(most);
  return rows;
}

class CublasGemm : public PromptGemm {
 public:
  CublasGemm(DeviceQueue& queue, DeviceMemory& memory, std::unique_ptr<CublasMatmul> matmul,
             CublasGemmOptions options)
      : queue_(queue),
        memory_(memory),
        matmul_(std::move(matmul)),
        options_(std::move(options)),
        buckets_(options_.batch_invariance ? std::vector<int64_t>{options_.max_rows}
                                           : RowBuckets(options_.max_rows)),
        cache_(options_.batch_invariance ? "" : options_.cache_dir, options_.gpu,
               matmul_->version(), options_.log) {}

  bool is_batch_invariant() const override { return options_.batch_invariance; }

  void Prepare(const CudaLinear& linear, DType out) override {
    const std::optional<ProductKind> kind = CublasMatmul::KindOf(linear, out);
    if (!kind.has_value() || algorithms_.contains(*kind)) return;
    const int64_t rows =
        options_.batch_invariance ? RowsToCompare(options_.max_rows).back() : options_.max_rows;
    absl::StatusOr<AlgorithmProbe> probe =
        AlgorithmProbe::Create(*matmul_, queue_, memory_, linear, out, rows, options_.clock);
    if (!probe.ok()) {
      options_.log(
          absl::StrCat("cuBLASLt, ", kind->text(), ": not measured: ", probe.status().message()));
    }
    AlgorithmProbe* const measures = probe.ok() ? &*probe : nullptr;
    Algorithms chosen;
    if (!options_.batch_invariance && measures != nullptr) chosen = ChooseFastest(*kind, *measures);
    if (chosen.empty()) chosen.assign(buckets_.size(), ChooseInvariant(*kind, measures));
    algorithms_[*kind] = std::move(chosen);
  }

  bool Multiply(const CudaLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) override {
    const std::optional<ProductKind> kind = CublasMatmul::KindOf(linear, y.dtype);
    if (!kind.has_value() || !CublasMatmul::IsAligned(x) || !CublasMatmul::IsAligned(y)) {
      return false;
    }
    const auto found = algorithms_.find(*kind);
    QUIRE_CHECK(found != algorithms_.end()) << kind->text() << " is not prepared";
    const std::optional<CublasAlgorithm>& algorithm = found->second[BucketOf(x.rows, buckets_)];
    if (!algorithm.has_value()) return false;
    matmul_->Multiply(*algorithm, linear, x, y);
    return true;
  }

 private:
  using Algorithms = std::vector<std::optional<CublasAlgorithm>>;  // one for each bucket

  // Null: bits can't be compared.
  std::optional<CublasAlgorithm> ChooseInvariant(const ProductKind& kind, AlgorithmProbe* probe) {
    std::vector<CublasAlgorithm> choices;
    const std::optional<AlgorithmConfig> measured =
        FindMeasured(options_.table, options_.gpu, kind);
    if (measured.has_value()) {
      const std::optional<CublasAlgorithm> made = matmul_->Configure(kind, *measured);
      if (made.has_value() && Keeps(kind, *made, probe)) return made;
      options_.log(absl::StrCat("cuBLASLt ", matmul_->version(), ", ", kind.text(),
                                ": the measured algorithm does not run here; the library's first "
                                "choice is taken"));
    } else {
      SayOnceThatNothingIsMeasured(kind);
    }
    for (const CublasAlgorithm& choice :
         matmul_->Choices(kind, kChoiceRows, kInvariantChoices, /*may_split=*/false)) {
      if (Keeps(kind, choice, probe)) return choice;
    }
    options_.log(absl::StrCat("cuBLASLt, ", kind.text(),
                              ": no algorithm keeps the bits of rows; our own kernels multiply"));
    return std::nullopt;
  }

  // Whether it runs, and a row keeps its bits, at every number of rows.
  bool Keeps(const ProductKind& kind, const CublasAlgorithm& algorithm, AlgorithmProbe* probe) {
    if (!algorithm.config.takes_k_whole()) return false;
    if (!matmul_->Takes(kind, algorithm, RowsToCheck(0, options_.max_rows))) return false;
    if (probe == nullptr || probe->IsInvariant(algorithm, RowsToCompare(options_.max_rows))) {
      return true;
    }
    options_.log(absl::StrCat("cuBLASLt, ", kind.text(), ": algorithm ",
                              absl::StrJoin(algorithm.config.numbers(), ","),
                              " gives a row other bits among more rows: left aside"));
    return false;
  }

  // Empty where the library has nothing for some number of rows.
  Algorithms ChooseFastest(const ProductKind& kind, AlgorithmProbe& probe) {
    Algorithms chosen;
    bool is_new = false;
    int64_t above = 0;
    for (int64_t rows : buckets_) {
      const std::vector<int64_t> bucket = RowsToCheck(above, rows);
      above = rows;
      std::optional<CublasAlgorithm> best;
      if (const auto cached = cache_.Find(kind, rows)) best = matmul_->Configure(kind, *cached);
      if (!best.has_value() || !matmul_->Takes(kind, *best, bucket)) {
        best = MeasureFastest(kind, bucket, probe);
        if (!best.has_value()) return {};
        cache_.Add(kind, rows, best->config);
        is_new = true;
      }
      chosen.push_back(best);
    }
    if (is_new) cache_.Write();
    return chosen;
  }

  // At the bucket's most rows. Each is measured as its configuration makes it, so that a cached one
  // is what was measured.
  std::optional<CublasAlgorithm> MeasureFastest(const ProductKind& kind,
                                                const std::vector<int64_t>& bucket,
                                                AlgorithmProbe& probe) {
    std::optional<CublasAlgorithm> best;
    double least = 0.0;
    for (const CublasAlgorithm& choice :
         matmul_->Choices(kind, bucket.back(), kTimedChoices, /*may_split=*/true)) {
      const std::optional<CublasAlgorithm> made = matmul_->Configure(kind, choice.config);
      if (!made.has_value() || !matmul_->Takes(kind, *made, bucket)) continue;
      const double seconds = probe.Seconds(*made, bucket.back());
      if (best.has_value() && seconds >= least) continue;
      best = made;
      least = seconds;
    }
    return best;
  }

  void SayOnceThatNothingIsMeasured(const ProductKind& kind) {
    if (std::exchange(has_said_, true)) return;
    const GpuIdentity& gpu = options_.gpu;
    options_.log(absl::StrCat(
        "cuBLASLt, ", kind.text(), ": no algorithm is measured for ", gpu.name, " (", gpu.major,
        ".", gpu.minor, ", ", gpu.multiprocessors,
        " multiprocessors); here, and wherever else "
        "there is none, the library's first choice is taken: quire-cublas-table measures"));
  }

  DeviceQueue& queue_;
  DeviceMemory& memory_;
  std::unique_ptr<CublasMatmul> matmul_;
  CublasGemmOptions options_;
  std::vector<int64_t> buckets_;
  AlgorithmCache cache_;
  bool has_said_ = false;
  absl::flat_hash_map<ProductKind, Algorithms> algorithms_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PromptGemm>> MakeCublasGemm(DeviceQueue& queue, cudaStream_t stream,
                                                           DeviceMemory& memory,
                                                           CublasGemmOptions options) {
  QUIRE_RETURN_IF_ERROR(CheckTable(options.table));
  if (!options.log) options.log = [](absl::string_view) {};
  if (!options.clock) options.clock = SteadySeconds;
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<CublasMatmul> matmul,
                         CublasMatmul::Create(stream, memory));
  return std::make_unique<CublasGemm>(queue, memory, std::move(matmul), std::move(options));
}

}  // namespace quire
