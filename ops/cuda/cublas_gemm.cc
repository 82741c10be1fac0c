#include "ops/cuda/cublas_gemm.h"

#include <cublasLt.h>

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "ops/cuda/cublas_library.h"

namespace quire {
namespace {

// What NVIDIA recommends for Hopper; taken once.
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

// A shape that has one algorithm. The strides decide about alignment, so they count.
struct ShapeKey {
  int64_t n = 0;
  int64_t k = 0;
  int64_t x_stride = 0;
  int64_t y_stride = 0;
  DType act = DType::kBFloat16;
  DType out = DType::kBFloat16;
  bool has_bias = false;

  template <typename H>
  friend H AbslHashValue(H h, const ShapeKey& key) {
    return H::combine(std::move(h), key.n, key.k, key.x_stride, key.y_stride, key.act, key.out,
                      key.has_bias);
  }
  friend bool operator==(const ShapeKey&, const ShapeKey&) = default;
};

class Layout {
 public:
  // Column-major, as the library sees it.
  Layout(DType dtype, int64_t rows, int64_t cols, int64_t stride) {
    QUIRE_CUBLAS_CHECK(cublasLtMatrixLayoutInit(
        &layout_, TypeOf(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride));
  }
  cublasLtMatrixLayout_t get() { return &layout_; }

 private:
  cublasLtMatrixLayoutOpaque_t layout_;
};

// y^T [N, M] = W^T' x^T: a row-major matrix is the transposed column-major one, so that W [N, K] is
// [K, N], transposed again, and x [M, K] is [K, M].
class Description {
 public:
  // bias [N] of y's type, or null.
  Description(const void* bias, DType dtype) {
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescInit(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&desc_, CUBLASLT_MATMUL_DESC_TRANSA,
                                                      &transposed, sizeof(transposed)));
    if (bias == nullptr) return;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const cudaDataType_t type = TypeOf(dtype);
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&desc_, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                      &epilogue, sizeof(epilogue)));
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&desc_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
                                                      &type, sizeof(type)));
    QUIRE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&desc_, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                      &bias, sizeof(bias)));
  }
  cublasLtMatmulDesc_t get() { return &desc_; }

 private:
  cublasLtMatmulDescOpaque_t desc_;
};

bool IsAligned(const DeviceMatrix& m) {
  const auto row_bytes = m.row_stride * static_cast<int64_t>(DTypeBytes(m.dtype));
  return reinterpret_cast<uintptr_t>(m.data) % kAlignment == 0 && row_bytes % kAlignment == 0;
}

class CublasGemm : public PromptGemm {
 public:
  CublasGemm(CudaStream& stream, DeviceBuffer workspace, int64_t max_rows)
      : stream_(stream), workspace_(std::move(workspace)), max_rows_(max_rows) {
    QUIRE_CUBLAS_CHECK(cublasLtCreate(&handle_));
  }
  ~CublasGemm() override { cublasLtDestroy(handle_); }
  CublasGemm(const CublasGemm&) = delete;
  CublasGemm& operator=(const CublasGemm&) = delete;

  bool Multiply(const CudaLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) override {
    if (!IsAligned(x) || !IsAligned(y)) return false;
    // The library takes a bias in y's type alone.
    const bool has_bias = linear.bias() != nullptr;
    const void* const bias = y.dtype == DType::kFloat32 ? linear.bias() : linear.act_bias();
    if (has_bias && bias == nullptr) return false;
    const DeviceMatrix weight = linear.weight();
    Description product(bias, y.dtype);
    const std::optional<cublasLtMatmulAlgo_t>& algorithm =
        Find({weight.rows, weight.cols, x.row_stride, y.row_stride, x.dtype, y.dtype, has_bias},
             product);
    if (!algorithm.has_value()) return false;
    Layout a(weight.dtype, weight.cols, weight.rows, weight.row_stride);
    Layout b(x.dtype, x.cols, x.rows, x.row_stride);
    Layout d(y.dtype, y.cols, y.rows, y.row_stride);
    const float one = 1.0F;
    const float zero = 0.0F;
    QUIRE_CUBLAS_CHECK(cublasLtMatmul(handle_, product.get(), &one, weight.data, a.get(), x.data,
                                      b.get(), &zero, y.data, d.get(), y.data, d.get(), &*algorithm,
                                      workspace_.data(), workspace_.bytes(), stream_.get()));
    return true;
  }

 private:
  // The library's first choice for max_rows rows; none where it has none.
  const std::optional<cublasLtMatmulAlgo_t>& Find(const ShapeKey& key, Description& product) {
    const auto [found, is_new] = algorithms_.try_emplace(key);
    if (is_new) found->second = Choose(key, product);
    return found->second;
  }

  std::optional<cublasLtMatmulAlgo_t> Choose(const ShapeKey& key, Description& product) const {
    cublasLtMatmulPreferenceOpaque_t preference;
    QUIRE_CUBLAS_CHECK(cublasLtMatmulPreferenceInit(&preference));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      QUIRE_CUBLAS_CHECK(
          cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
    // Sums of parts of K would have to be reduced: none are.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      prefer(attribute, kAlignment);
    }
    Layout a(key.act, key.k, key.n, CudaLinear::RowStride(key.k, key.act));
    Layout b(key.act, key.k, max_rows_, key.x_stride);
    Layout d(key.out, key.n, max_rows_, key.y_stride);
    constexpr int kChoices = 16;
    cublasLtMatmulHeuristicResult_t results[kChoices];
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, product.get(), a.get(), b.get(), d.get(), d.get(),
                                       &preference, kChoices, results, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
    QUIRE_CUBLAS_CHECK(status);
    for (int i = 0; i < count; ++i) {
      if (results[i].state == CUBLAS_STATUS_SUCCESS && TakesKWhole(results[i].algo)) {
        return results[i].algo;
      }
    }
    return std::nullopt;
  }

  static bool TakesKWhole(const cublasLtMatmulAlgo_t& algorithm) {
    int32_t splits = 0;
    size_t written = 0;
    QUIRE_CUBLAS_CHECK(cublasLtMatmulAlgoConfigGetAttribute(
        &algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof(splits), &written));
    return splits == 0 || splits == 1;
  }

  CudaStream& stream_;
  DeviceBuffer workspace_;
  const int64_t max_rows_;
  cublasLtHandle_t handle_ = nullptr;
  absl::flat_hash_map<ShapeKey, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PromptGemm>> MakeCublasGemm(CudaStream& stream, DeviceMemory& memory,
                                                           int64_t max_rows) {
  QUIRE_RETURN_IF_ERROR(LoadCublas());
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer workspace, memory.Allocate(kWorkspaceBytes, "activations"));
  return std::make_unique<CublasGemm>(stream, std::move(workspace), max_rows);
}

}  // namespace quire
