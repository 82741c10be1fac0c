#include "tests/ops/cuda/fake_cublas.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/elements.h"
#include "ops/cuda/cublas_library.h"

namespace quire::testing {
namespace {

using Numbers = std::array<int32_t, 9>;

// What the opaque structures hold.
struct Layout {
  cudaDataType_t type;
  int64_t rows;
  int64_t cols;
  int64_t stride;
};
struct Description {
  bool transposes_a;
  bool has_bias;
  cudaDataType_t bias_type;
  const void* bias;
};
struct Preference {
  uint64_t workspace_bytes;
  uint32_t reductions;
};

template <typename T, typename Opaque>
T Get(const Opaque* opaque) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  T value;
  std::memcpy(&value, opaque, sizeof(value));
  return value;
}

template <typename Opaque, typename T>
void Put(Opaque* opaque, const T& value) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  std::memcpy(opaque, &value, sizeof(value));
}

template <typename T>
T ValueOf(const void* data, size_t bytes) {
  QUIRE_CHECK_EQ(bytes, sizeof(T));
  T value;
  std::memcpy(&value, data, bytes);
  return value;
}

DType TypeOf(cudaDataType_t type) {
  return type == CUDA_R_16BF ? DType::kBFloat16 : DType::kFloat32;
}

// The place of an attribute in Numbers, and its width.
struct Place {
  size_t index;
  size_t bytes;
};
Place PlaceOf(cublasLtMatmulAlgoConfigAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      return {0, 4};
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      return {1, 4};
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      return {2, 4};
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      return {3, 4};
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      return {4, 4};
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
      return {5, 4};
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
      return {6, 4};
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
      return {7, 2};
    default:
      QUIRE_CHECK(attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID) << attribute;
      return {8, 2};
  }
}

const FakeAlgorithm* Find(const cublasLtMatmulAlgo_t* algorithm) {
  const auto config = AlgorithmConfig::Of(Get<Numbers>(algorithm));
  const auto& all = Cublas().algorithms;
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& a) { return a.config == config; });
  return found == all.end() ? nullptr : &*found;
}

float Sum(const FakeAlgorithm& algorithm, const Layout& a, const void* w, const Layout& b,
          const void* x, int64_t n, int64_t m) {
  const int64_t k = a.rows;
  const bool depends = algorithm.depends_on_rows || algorithm.config.splits > 1;
  const int64_t first = depends ? b.cols % k : 0;
  float sum = 0.0F;
  for (int64_t i = 0; i < k; ++i) {
    const int64_t at = (first + i) % k;
    sum += LoadElement(w, TypeOf(a.type), n * a.stride + at) *
           LoadElement(x, TypeOf(b.type), m * b.stride + at);
  }
  return sum;
}

}  // namespace

FakeCublas& Cublas() {
  static auto* const fake = new FakeCublas;
  return *fake;
}

}  // namespace quire::testing

namespace quire {
absl::Status LoadCublas() { return testing::Cublas().load_status; }
}  // namespace quire

using namespace quire::testing;  // NOLINT(google-build-using-namespace)

extern "C" {

size_t cublasLtGetVersion() { return Cublas().version; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(&Cublas());
  ++Cublas().handles;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t /*handle*/) {
  --Cublas().handles;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "another status";
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t /*size*/,
                                                 cudaDataType type, uint64_t rows, uint64_t cols,
                                                 int64_t stride) {
  Put(layout, Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(cols), stride});
  return stride >= static_cast<int64_t>(rows) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t /*size*/,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  Put(desc, Description{});
  return compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS
                                                              : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* data, size_t bytes) {
  auto description = Get<Description>(desc);
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) {
    description.transposes_a = ValueOf<cublasOperation_t>(data, bytes) == CUBLAS_OP_T;
  } else if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) {
    description.has_bias = ValueOf<cublasLtEpilogue_t>(data, bytes) == CUBLASLT_EPILOGUE_BIAS;
  } else if (attribute == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE) {
    description.bias_type = ValueOf<cudaDataType_t>(data, bytes);
  } else if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) {
    description.bias = ValueOf<const void*>(data, bytes);
  } else {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Put(desc, description);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     size_t /*size*/) {
  Put(preference, Preference{.workspace_bytes = 0, .reductions = ~0U});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* data, size_t bytes) {
  auto wanted = Get<Preference>(preference);
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    wanted.workspace_bytes = ValueOf<uint64_t>(data, bytes);
  } else if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    wanted.reductions = ValueOf<uint32_t>(data, bytes);
  } else if (ValueOf<uint32_t>(data, bytes) != 16) {  // alignments
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Put(preference, wanted);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* data, size_t bytes, size_t* written) {
  const Place place = PlaceOf(attribute);
  if (bytes != place.bytes) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(data, &Get<Numbers>(algorithm)[place.index], bytes);
  *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    const void* data, size_t bytes) {
  const Place place = PlaceOf(attribute);
  if (bytes != place.bytes || place.index == 0) return CUBLAS_STATUS_INVALID_VALUE;
  auto numbers = Get<Numbers>(algorithm);
  std::memcpy(&numbers[place.index], data, bytes);
  Put(algorithm, numbers);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t /*handle*/, cublasComputeType_t /*compute*/,
                                      cudaDataType_t /*scale*/, cudaDataType_t /*a*/,
                                      cudaDataType_t /*b*/, cudaDataType_t /*c*/,
                                      cudaDataType_t /*d*/, int id,
                                      cublasLtMatmulAlgo_t* algorithm) {
  Put(algorithm, Numbers{id, 0, 0, 1});
  const auto& all = Cublas().algorithms;
  const bool is_known =
      std::any_of(all.begin(), all.end(), [&](const auto& a) { return a.config.id == id; });
  return is_known ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t /*a*/, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t /*c*/, cublasLtMatrixLayout_t /*d*/,
                                       const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  const auto description = Get<Description>(desc);
  if (description.has_bias && description.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const FakeAlgorithm* const found = Find(algorithm);
  if (found == nullptr || Get<Layout>(b).cols > found->max_rows) return CUBLAS_STATUS_NOT_SUPPORTED;
  result->workspaceSize = found->workspace_bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* count) {
  const auto wanted = Get<Preference>(preference);
  Cublas().searches.push_back(
      {Get<Layout>(b).cols, most, wanted.workspace_bytes, wanted.reductions});
  *count = 0;
  for (const FakeAlgorithm& algorithm : Cublas().algorithms) {
    const auto reduction = static_cast<uint32_t>(algorithm.config.reduction);
    if (*count == most || algorithm.workspace_bytes > wanted.workspace_bytes ||
        (reduction & ~wanted.reductions) != 0) {
      continue;
    }
    cublasLtMatmulHeuristicResult_t& result = results[*count];
    Put(&result.algo, algorithm.config.numbers());
    result.state = cublasLtMatmulAlgoCheck(handle, desc, a, b, c, d, &result.algo, &result);
    ++*count;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t desc,
                              const void* alpha, const void* w, cublasLtMatrixLayout_t a_layout,
                              const void* x, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* /*c*/, cublasLtMatrixLayout_t /*c_layout*/, void* y,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t /*stream*/) {
  const auto a = Get<Layout>(a_layout);
  const auto b = Get<Layout>(b_layout);
  const auto d = Get<Layout>(d_layout);
  const auto description = Get<Description>(desc);
  const FakeAlgorithm* const found = Find(algorithm);
  if (found == nullptr || !description.transposes_a || a.rows != b.rows || d.rows != a.cols ||
      d.cols != b.cols || *static_cast<const float*>(alpha) != 1.0F ||
      *static_cast<const float*>(beta) != 0.0F || workspace_bytes < found->workspace_bytes) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (b.cols > found->max_rows) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (int64_t m = 0; m < b.cols; ++m) {
    for (int64_t n = 0; n < a.cols; ++n) {
      const float bias = description.has_bias ? quire::LoadElement(description.bias,
                                                                   TypeOf(description.bias_type), n)
                                              : 0.0F;
      quire::StoreElement(y, TypeOf(d.type), m * d.stride + n,
                          Sum(*found, a, w, b, x, n, m) + bias);
    }
  }
  FakeCublas& fake = Cublas();
  fake.products.push_back({found->config, b.cols, workspace, workspace_bytes});
  fake.now += found->seconds + found->seconds_of_row * static_cast<double>(b.cols);
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
