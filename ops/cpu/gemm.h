// y = x W^T + b on the CPU: who computes which rows and columns.
#ifndef QUIRE_OPS_CPU_GEMM_H_
#define QUIRE_OPS_CPU_GEMM_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "ops/cpu/dnnl_gemm.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/cpu/packed_linear.h"

namespace quire {

// One product at a time.
class Gemm {
 public:
  // `max_rows` is the most rows of a product.
  Gemm(CpuIsa isa, ThreadPool& pool, DeviceMemory& memory, int64_t max_rows, bool use_onednn);

  // Makes room for products with `linear` and decides who computes them. Afterwards Run with it
  // allocates nothing (but see dnnl_product.h).
  absl::Status Prepare(const PackedLinear& linear);

  // The bits of a row of y do not depend on the other rows, on their number, on the threads or on
  // whether oneDNN is used.
  void Run(const PackedLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y);

  // Whether oneDNN takes the tall blocks of products with `linear`.
  bool UsesOneDnn(const PackedLinear& linear) const;

 private:
  // Rows that one task multiplies with a group of panels.
  struct Segment {
    int64_t row = 0;
    int64_t rows = 0;
    int height = -1;  // index into DnnlGemm::kHeights, or -1: our kernels, and these row blocks
    int64_t block_begin = 0;
    int64_t block_end = 0;
  };
  // The product at work.
  struct Product;

  // Panels of a task with oneDNN.
  int64_t GroupPanels(const PackedLinear& linear) const;
  bool PacksPairs(const PackedLinear& linear) const;
  int64_t SumsNumbers() const;
  int64_t ScratchNumbers() const;
  float* Scratch(int thread) const;
  void CutRows(Product& product);
  void PackRows(const Product& product);
  void RunTask(const Product& product, const Segment& segment, int64_t group, int thread);
  void RunPanel(const Product& product, const Segment& segment, int64_t panel, int thread);

  const CpuIsa isa_;
  const OpsKernels& kernels_;
  ThreadPool& pool_;
  DeviceMemory& memory_;
  const int64_t max_rows_;
  const bool use_onednn_;
  DnnlGemm dnnl_;
  std::vector<Segment> segments_;  // of the product at work
  DeviceBuffer packed_rows_;       // of the product at work
  DeviceBuffer thread_scratch_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_GEMM_H_
