// The functions of cuBLASLt that we call, under their own names: each goes on to the library's.
#include "ops/cuda/cublas_library.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/check.h"

namespace quire {
namespace {

std::string LibraryName() { return absl::StrCat("libcublasLt.so.", CUBLAS_VER_MAJOR); }

// Never closed. Null where it isn't found.
void* Library() {
  static void* const library = [] {
    const std::string name = LibraryName();
    void* found = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    // Where the toolkit's installer puts it, often without telling the loader.
    if (found == nullptr) {
      found = dlopen(absl::StrCat("/usr/local/cuda/lib64/", name).c_str(), RTLD_NOW | RTLD_LOCAL);
    }
    return found;
  }();
  return library;
}

template <typename Function>
Function* Find(const char* name) {
  QUIRE_CHECK(Library() != nullptr) << name << " before LoadCublas";
  void* const found = dlsym(Library(), name);
  QUIRE_CHECK(found != nullptr) << LibraryName() << " has no " << name;
  return reinterpret_cast<Function*>(found);
}

}  // namespace

absl::Status LoadCublas() {
  if (Library() != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the CUDA backend multiplies by cuBLAS, and ", LibraryName(),
                   " isn't found: install it, or use --device cpu"));
}

}  // namespace quire

#define QUIRE_FORWARD(result, name, params, args)                 \
  extern "C" result CUBLASWINAPI name params {                    \
    static auto* const found = quire::Find<result params>(#name); \
    return found args;                                            \
  }

QUIRE_FORWARD(cublasStatus_t, cublasLtCreate, (cublasLtHandle_t * handle), (handle))
QUIRE_FORWARD(cublasStatus_t, cublasLtDestroy, (cublasLtHandle_t handle), (handle))
QUIRE_FORWARD(size_t, cublasLtGetVersion, (), ())
QUIRE_FORWARD(const char*, cublasLtGetStatusString, (cublasStatus_t status), (status))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatrixLayoutInit_internal,
              (cublasLtMatrixLayout_t layout, size_t size, cudaDataType type, uint64_t rows,
               uint64_t cols, int64_t ld),
              (layout, size, type, rows, cols, ld))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulDescInit_internal,
              (cublasLtMatmulDesc_t desc, size_t size, cublasComputeType_t compute,
               cudaDataType_t scale),
              (desc, size, compute, scale))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulDescSetAttribute,
              (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
               const void* data, size_t bytes),
              (desc, attribute, data, bytes))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulPreferenceInit_internal,
              (cublasLtMatmulPreference_t preference, size_t size), (preference, size))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulPreferenceSetAttribute,
              (cublasLtMatmulPreference_t preference,
               cublasLtMatmulPreferenceAttributes_t attribute, const void* data, size_t bytes),
              (preference, attribute, data, bytes))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulAlgoConfigGetAttribute,
              (const cublasLtMatmulAlgo_t* algorithm,
               cublasLtMatmulAlgoConfigAttributes_t attribute, void* data, size_t bytes,
               size_t* written),
              (algorithm, attribute, data, bytes, written))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulAlgoConfigSetAttribute,
              (cublasLtMatmulAlgo_t * algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute,
               const void* data, size_t bytes),
              (algorithm, attribute, data, bytes))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulAlgoInit,
              (cublasLtHandle_t handle, cublasComputeType_t compute, cudaDataType_t scale,
               cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t d, int id,
               cublasLtMatmulAlgo_t* algorithm),
              (handle, compute, scale, a, b, c, d, id, algorithm))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulAlgoCheck,
              (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
               cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
               const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result),
              (handle, desc, a, b, c, d, algorithm, result))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmulAlgoGetHeuristic,
              (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
               cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
               cublasLtMatmulPreference_t preference, int most,
               cublasLtMatmulHeuristicResult_t results[], int* count),
              (handle, desc, a, b, c, d, preference, most, results, count))
QUIRE_FORWARD(cublasStatus_t, cublasLtMatmul,
              (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
               cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
               const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
               cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
               void* workspace, size_t workspace_bytes, cudaStream_t stream),
              (handle, desc, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout,
               algorithm, workspace, workspace_bytes, stream))
