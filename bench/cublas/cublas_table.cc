// quire-cublas-table: measures cuBLASLt's algorithms on this machine's GPU and prints rows for
// ops/cuda/measured_algorithms.inc, for the shapes of models' products and for others.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/cuda/cuda_stream.h"
#include "core/cuda/gpu_identity.h"
#include "core/status_macros.h"
#include "engine/cuda/open_cuda_device.h"
#include "engine/load_model.h"
#include "ops/cuda/measure_algorithms.h"
#include "ops/cuda/measured_algorithms.h"

namespace quire {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The rows so far, of all models.
std::vector<MeasuredAlgorithm>& Table() {
  static auto* const rows = new std::vector<MeasuredAlgorithm>;
  return *rows;
}

// In the place of a backend's product: measures whatever a model prepares.
class TableMaker : public PromptGemm {
 public:
  // Of OpenCudaDevice.
  static absl::StatusOr<std::unique_ptr<TableMaker>> Create(const CudaDevice& device) {
    const cudaStream_t stream = static_cast<const CudaStream&>(*device.queue).get();
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<CublasMatmul> matmul,
                           CublasMatmul::Create(stream, *device.memory));
    return std::unique_ptr<TableMaker>(
        new TableMaker(*device.queue, *device.memory, std::move(matmul)));
  }

  void Prepare(const CudaLinear& linear, DType out) override {
    const absl::Status status = Measure(linear, out);
    if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  }
  bool Multiply(const CudaLinear& /*linear*/, const DeviceMatrix& /*x*/,
                const DeviceMatrix& /*y*/) override {
    return false;
  }
  bool is_batch_invariant() const override { return true; }

 private:
  TableMaker(DeviceQueue& queue, DeviceMemory& memory, std::unique_ptr<CublasMatmul> matmul)
      : queue_(queue), memory_(memory), matmul_(std::move(matmul)) {}

  absl::Status Measure(const CudaLinear& linear, DType out) {
    const std::optional<ProductKind> kind = CublasMatmul::KindOf(linear, out);
    if (!kind.has_value() || FindMeasured(Table(), gpu_, *kind).has_value()) {
      return absl::OkStatus();
    }
    const MeasuringPlan plan;
    QUIRE_ASSIGN_OR_RETURN(
        AlgorithmProbe probe,
        AlgorithmProbe::Create(*matmul_, queue_, memory_, linear, out, plan.most_rows, Seconds));
    const MeasuredProduct measured = MeasureAlgorithms(*matmul_, *kind, plan, probe);
    if (!measured.fastest.has_value()) {
      return absl::NotFoundError(absl::StrCat(kind->text(), ": none of ", measured.num_tried,
                                              " algorithms keeps the bits of rows"));
    }
    Table().push_back({gpu_.major, gpu_.minor, gpu_.multiprocessors, kind->act, kind->out, kind->n,
                       kind->k, *measured.fastest});
    Print(*kind, plan, measured);
    return absl::OkStatus();
  }

  void Print(const ProductKind& kind, const MeasuringPlan& plan, const MeasuredProduct& measured) {
    std::printf("// %s, cuBLASLt %zu: %zu of %zu keep bits;", gpu_.name.c_str(), matmul_->version(),
                measured.num_invariant, measured.num_tried);
    for (size_t i = 0; i < plan.timed_rows.size(); ++i) {
      const double flops = 2.0 * static_cast<double>(plan.timed_rows[i] * kind.n * kind.k);
      std::printf(" %lld rows %.0f TFLOP/s%s", static_cast<long long>(plan.timed_rows[i]),
                  flops / measured.seconds[i] * 1e-12, i + 1 < plan.timed_rows.size() ? "," : "\n");
    }
    std::printf("%s\n", SourceText(Table().back()).c_str());
    std::fflush(stdout);
  }

  const GpuIdentity gpu_ = ReadGpuIdentity(0);
  DeviceQueue& queue_;
  DeviceMemory& memory_;
  std::unique_ptr<CublasMatmul> matmul_;
};

absl::StatusOr<CudaDevice> OpenMeasuredDevice(const BackendOptions& options) {
  absl::StatusOr<CudaDevice> device = OpenCudaDevice(options);
  if (absl::IsFailedPrecondition(device.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("algorithms are measured on a GPU: ", device.status().message()));
  }
  if (device.ok()) {
    QUIRE_ASSIGN_OR_RETURN(device->prompt_gemm, TableMaker::Create(*device));
  }
  return device;
}

// Weights from a fixed seed, and the shortest sequences: the products' shapes are the model's.
absl::Status MeasureModel(const std::string& directory) {
  std::fprintf(stderr, "measuring the products of %s\n", directory.c_str());
  LoadOptions options{.model = directory, .random_weights = true, .max_num_sequences = 1};
  options.max_context = 512;
  QUIRE_ASSIGN_OR_RETURN(const auto model, LoadedModel::Load(options, nullptr));
  return absl::OkStatus();
}

struct Shape {
  int64_t n = 0;
  int64_t k = 0;
  DType out = DType::kBFloat16;
};

// "4096x14336" or "4096x14336:float32".
absl::StatusOr<Shape> ParseShape(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  const std::vector<std::string> sizes = absl::StrSplit(parts[0], 'x');
  Shape shape;
  constexpr int64_t kMost = int64_t{1} << 24;
  if (sizes.size() != 2 || !absl::SimpleAtoi(sizes[0], &shape.n) ||
      !absl::SimpleAtoi(sizes[1], &shape.k) || shape.n < 1 || shape.k < 1 || shape.n > kMost ||
      shape.k > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat("--shape ", text, ": expected NxK or NxK:float32, as 4096x14336"));
  }
  if (parts.size() == 2) {
    QUIRE_ASSIGN_OR_RETURN(shape.out, ParseDType(parts[1]));
    if (shape.out == DType::kFloat16) {
      return absl::InvalidArgumentError(
          absl::StrCat("--shape ", text, ": results are bfloat16 or float32"));
    }
  }
  return shape;
}

absl::Status MeasureShape(const Shape& shape, CudaDevice& device) {
  const int64_t stride = CudaLinear::RowStride(shape.k, DType::kBFloat16);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  QUIRE_ASSIGN_OR_RETURN(
      DeviceBuffer weight,
      device.memory->Allocate(static_cast<size_t>(shape.n * stride) * sizeof(bf16), "weights"));
  constexpr int64_t kDifferentRows = 64;  // drawing all numbers would take minutes
  std::vector<bf16> rows(kDifferentRows * stride);
  for (bf16& value : rows) value = ToBf16(normal(random));
  for (int64_t n = 0; n < shape.n; n += kDifferentRows) {
    const int64_t some = std::min(kDifferentRows, shape.n - n);
    device.memory->CopyFromHost(static_cast<bf16*>(weight.data()) + n * stride, rows.data(),
                                static_cast<size_t>(some * stride) * sizeof(bf16));
  }
  const CudaLinear linear(shape.k, shape.n, DType::kBFloat16, std::move(weight), {}, {});
  device.prompt_gemm->Prepare(linear, shape.out);
  return absl::OkStatus();
}

absl::Status Run(const std::vector<std::string>& models, const std::vector<std::string>& texts) {
  std::vector<Shape> shapes;
  for (const std::string& text : texts) {
    QUIRE_ASSIGN_OR_RETURN(shapes.emplace_back(), ParseShape(text));
  }
  {
    QUIRE_ASSIGN_OR_RETURN(CudaDevice device, OpenMeasuredDevice({.max_batch_tokens = 512}));
    for (const Shape& shape : shapes) QUIRE_RETURN_IF_ERROR(MeasureShape(shape, device));
  }
  for (const std::string& model : models) QUIRE_RETURN_IF_ERROR(MeasureModel(model));
  return absl::OkStatus();
}

}  // namespace

// Of LoadedModel, in the place of engine/make_backend.cc.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(CudaDevice device, OpenMeasuredDevice(options));
  return MakeCudaBackend(std::move(device), options, model);
}

}  // namespace quire

int main(int argc, char** argv) try {
  CLI::App app(
      "quire-cublas-table: the fastest of cuBLASLt's algorithms that give a row the same bits in "
      "any number of rows, on this machine's GPU, as rows of ops/cuda/measured_algorithms.inc");
  std::vector<std::string> models;
  std::vector<std::string> shapes;
  app.add_option("--model", models,
                 "Checkpoint directories whose products are measured (config.json is enough); the "
                 "model has to fit on the GPU");
  app.add_option("--shape", shapes,
                 "Other products, N output by K input features: NxK into bfloat16, or NxK:float32");
  app.require_option(1, 0);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = quire::Run(models, shapes);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-cublas-table: %s\n", std::string(status.message()).c_str());
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "quire-cublas-table: %s\n", error.what());
  return 1;
}
