#include "ops/cuda/cublas_matmul.h"

#include <array>
#include <utility>

#include "absl/memory/memory.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "ops/cuda/cublas_library.h"

namespace quire {
namespace {

// What NVIDIA recommends for Hopper.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr uint32_t kAlignment = 16;

#define QUIRE_CUBLAS_CHECK(call)                                    \
  do {                                                              \
    const cublasStatus_t quire_status_ = (call);                    \
    QUIRE_CHECK(quire_status_ == CUBLAS_STATUS_SUCCESS)             \
        << #call << ": " << cublasLtGetStatusString(quire_status_); \
  } while (false)

cudaDataType_t TypeOf(DType dtype) {
  QUIRE_CHECK(dtype != DType::kFloat16);
  return dtype == DType::kBFloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

class Layout {
 public:
  // Column-major, as the library sees it.
  Layout(DType dtype, int64_t rows, int64_t cols, int64_t stride) {
    QUIRE_CUBLAS_CHECK(cublasLtMatrixLayoutInit(
        &layout_, TypeOf(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride));
  }
  cublasLtMatrixLayout_t get() const { return &layout_; }

 private:
  mutable cublasLtMatrixLayoutOpaque_t layout_;  // the library reads it alone
};

// The layouts of y^T [N, M] = W^T' x^T: a row-major matrix is the transposed column-major one, so
// that W [N, K] is [K, N], transposed again, and x [M, K] is [K, M].
struct Layouts {
  Layout w;
  Layout x;
  Layout y;

  // With rows that lie as close as their alignment allows.
  Layouts(const ProductKind& kind, int64_t rows)
      : w(kind.act, kind.k, kind.n, CudaLinear::RowStride(kind.k, kind.act)),
        x(kind.act, kind.k, rows, CudaLinear::RowStride(kind.k, kind.act)),
        y(kind.out, kind.n, rows, CudaLinear::RowStride(kind.n, kind.out)) {}
  Layouts(const DeviceMatrix& w, const DeviceMatrix& x, const DeviceMatrix& y)
      : w(Transposed(w)), x(Transposed(x)), y(Transposed(y)) {}

 private:
  static Layout Transposed(const DeviceMatrix& m) {
    return Layout(m.dtype, m.cols, m.rows, m.row_stride);
  }
};

class Description {
 public:
  // bias [N] of y's type, or null.
  Description(const void* bias, DType out) {
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescInit(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    Set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (bias == nullptr) return;
    Set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    Set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(out));
    Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  cublasLtMatmulDesc_t get() { return &desc_; }

 private:
  template <typename T>
  void Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&desc_, attribute, &value, sizeof(value)));
  }

  cublasLtMatmulDescOpaque_t desc_;
};

const void* BiasOf(const CudaLinear& linear, DType out) {
  return out == DType::kFloat32 ? linear.bias() : linear.act_bias();
}

struct ConfigAttribute {
  cublasLtMatmulAlgoConfigAttributes_t name;
  size_t bytes;
};
// In the order of AlgorithmConfig::numbers().
constexpr std::array<ConfigAttribute, 9> kConfig = {{
    {CUBLASLT_ALGO_CONFIG_ID, 4},
    {CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
    {CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
    {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},
    {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
    {CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
    {CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
    {CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
    {CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2},
}};

AlgorithmConfig ConfigOf(const cublasLtMatmulAlgo_t& algorithm) {
  std::array<int32_t, 9> numbers{};
  for (size_t i = 0; i < kConfig.size(); ++i) {
    size_t written = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoConfigGetAttribute(
        &algorithm, kConfig[i].name, &numbers[i], kConfig[i].bytes, &written);
    // Algorithms of old may not know the newest attributes.
    QUIRE_CHECK(status == CUBLAS_STATUS_SUCCESS || kConfig[i].bytes == 2)
        << "attribute " << kConfig[i].name << ": " << cublasLtGetStatusString(status);
  }
  return AlgorithmConfig::Of(numbers);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CublasMatmul>> CublasMatmul::Create(cudaStream_t stream,
                                                                   DeviceMemory& memory) {
  QUIRE_RETURN_IF_ERROR(LoadCublas());
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer workspace, memory.Allocate(kWorkspaceBytes, "workspace"));
  return absl::WrapUnique(new CublasMatmul(stream, std::move(workspace)));
}

CublasMatmul::CublasMatmul(cudaStream_t stream, DeviceBuffer workspace)
    : stream_(stream), workspace_(std::move(workspace)) {
  QUIRE_CUBLAS_CHECK(cublasLtCreate(&handle_));
}

CublasMatmul::~CublasMatmul() { cublasLtDestroy(handle_); }

size_t CublasMatmul::version() const { return cublasLtGetVersion(); }

std::optional<ProductKind> CublasMatmul::KindOf(const CudaLinear& linear, DType out) {
  const bool has_bias = linear.bias() != nullptr;
  if (has_bias && BiasOf(linear, out) == nullptr) return std::nullopt;
  return ProductKind{.act = linear.act_dtype(),
                     .out = out,
                     .n = linear.out_features(),
                     .k = linear.in_features(),
                     .has_bias = has_bias};
}

bool CublasMatmul::IsAligned(const DeviceMatrix& matrix) {
  const auto row_bytes = matrix.row_stride * static_cast<int64_t>(DTypeBytes(matrix.dtype));
  return reinterpret_cast<uintptr_t>(matrix.data) % kAlignment == 0 && row_bytes % kAlignment == 0;
}

std::vector<CublasAlgorithm> CublasMatmul::Choices(const ProductKind& kind, int64_t rows, int most,
                                                   bool may_split) const {
  cublasLtMatmulPreferenceOpaque_t preference;
  QUIRE_CUBLAS_CHECK(cublasLtMatmulPreferenceInit(&preference));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    QUIRE_CUBLAS_CHECK(
        cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_.bytes()});
  if (!may_split) {
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
  }
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    prefer(attribute, kAlignment);
  }
  // Any aligned address stands for a bias.
  Description product(kind.has_bias ? workspace_.data() : nullptr, kind.out);
  const Layouts layouts(kind, rows);
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, product.get(), layouts.w.get(), layouts.x.get(), layouts.y.get(), layouts.y.get(),
      &preference, most, results.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  QUIRE_CUBLAS_CHECK(status);
  std::vector<CublasAlgorithm> choices;
  for (int i = 0; i < count; ++i) {
    if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
    CublasAlgorithm choice{.algorithm = results[i].algo, .config = ConfigOf(results[i].algo)};
    if (may_split || choice.config.takes_k_whole()) choices.push_back(choice);
  }
  return choices;
}

std::optional<CublasAlgorithm> CublasMatmul::Configure(const ProductKind& kind,
                                                       const AlgorithmConfig& config) const {
  CublasAlgorithm made{.algorithm = {}, .config = config};
  const cudaDataType_t act = TypeOf(kind.act);
  const cudaDataType_t out = TypeOf(kind.out);
  if (cublasLtMatmulAlgoInit(handle_, CUBLAS_COMPUTE_32F, CUDA_R_32F, act, act, out, out, config.id,
                             &made.algorithm) != CUBLAS_STATUS_SUCCESS) {
    return std::nullopt;
  }
  const std::array<int32_t, 9> numbers = config.numbers();
  for (size_t i = 1; i < kConfig.size(); ++i) {
    if (numbers[i] == 0) continue;  // as it is unasked; some algorithms don't know the attribute
    if (cublasLtMatmulAlgoConfigSetAttribute(&made.algorithm, kConfig[i].name, &numbers[i],
                                             kConfig[i].bytes) != CUBLAS_STATUS_SUCCESS) {
      return std::nullopt;
    }
  }
  return made;
}

bool CublasMatmul::Takes(const ProductKind& kind, const CublasAlgorithm& algorithm,
                         const std::vector<int64_t>& rows) const {
  Description product(kind.has_bias ? workspace_.data() : nullptr, kind.out);
  for (int64_t m : rows) {
    const Layouts layouts(kind, m);
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status =
        cublasLtMatmulAlgoCheck(handle_, product.get(), layouts.w.get(), layouts.x.get(),
                                layouts.y.get(), layouts.y.get(), &algorithm.algorithm, &result);
    if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > workspace_.bytes()) return false;
  }
  return true;
}

void CublasMatmul::Multiply(const CublasAlgorithm& algorithm, const CudaLinear& linear,
                            const DeviceMatrix& x, const DeviceMatrix& y) const {
  const DeviceMatrix weight = linear.weight();
  Description product(BiasOf(linear, y.dtype), y.dtype);
  const Layouts layouts(weight, x, y);
  const float one = 1.0F;
  const float zero = 0.0F;
  QUIRE_CUBLAS_CHECK(cublasLtMatmul(handle_, product.get(), &one, weight.data, layouts.w.get(),
                                    x.data, layouts.x.get(), &zero, y.data, layouts.y.get(), y.data,
                                    layouts.y.get(), &algorithm.algorithm, workspace_.data(),
                                    workspace_.bytes(), stream_));
}

}  // namespace quire
