// y = x W^T + b on the CPU: who computes which rows and columns.
#ifndef QUIRE_OPS_CPU_GEMM_H_
#define QUIRE_OPS_CPU_GEMM_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "ops/cpu/dnnl_gemm.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/cpu/packed_linear.h"

namespace quire {

// One call at a time.
class Gemm {
 public:
  // `max_rows` is the most rows of a product.
  Gemm(CpuIsa isa, ThreadPool& pool, DeviceMemory& memory, int64_t max_rows, bool use_onednn);

  // Makes room for products with `linear` and decides who computes them. Afterwards Run with it
  // allocates nothing (but see dnnl_product.h).
  absl::Status Prepare(const PackedLinear& linear);

  // All products, whose linears are PackedLinears; see Ops::ApplyGroup. The bits of a row of y do
  // not depend on the other rows, on their number, on the products beside, on the threads or on
  // whether oneDNN is used.
  void Run(absl::Span<const Product> products);

  // What Prepare takes, for this linear alone; others share it.
  size_t WorkspaceBytes(const PackedLinear& linear) const {
    return ThreadBytes() + PackedBytes(linear);
  }

  // Whether oneDNN takes the tall blocks of products with `linear`.
  bool UsesOneDnn(const PackedLinear& linear) const;

 private:
  // A product at work: its rows cut into segments, its panels into groups. A task is a segment
  // times a group.
  struct Job {
    const PackedLinear* linear;
    DeviceMatrix x;
    DeviceMatrix y;
    int64_t group_panels;  // that a task takes
    int64_t groups;
    int64_t kernel_row;  // the rows from here on are our kernels', those before are oneDNN's
    int64_t num_blocks;  // of our kernels' rows
    int64_t segments;    // oneDNN's, then ranges of our kernels' blocks
    int64_t ranges;
    float* packed;      // our kernels' rows
    int64_t end_block;  // blocks of this job and those before
    int64_t end_task;   // tasks of this job and those before
  };

  // How many of the first products fit the scratch, and their jobs.
  int64_t MakeJobs(absl::Span<const Product> products);
  Job MakeJob(const Product& product) const;
  void CutPanels();
  void PackRows();
  void PackBlock(const Job& job, int64_t block);
  void RunTask(size_t index, int64_t task, int thread);
  void RunOneDnn(const Job& job, int64_t segment, int64_t begin, int64_t panels, int thread);
  void RunPanel(const Job& job, int64_t range, int64_t panel, const void* next_panel, int thread);
  // The panel that a thread will likely take after those before `panel` of job `index`.
  const void* PanelAfter(size_t index, int64_t panel) const;

  // Panels of a task with oneDNN.
  int64_t OneDnnPanels(const PackedLinear& linear) const;
  bool PacksPairs(const PackedLinear& linear) const;
  int64_t RowNumbers(const PackedLinear& linear) const;
  int64_t SumsNumbers() const;
  int64_t ScratchNumbers() const;
  size_t ThreadBytes() const { return pool_.num_threads() * ScratchNumbers() * sizeof(float); }
  size_t PackedBytes(const PackedLinear& linear) const {
    return max_rows_ * RowNumbers(linear) * sizeof(float);
  }
  float* Scratch(int thread) const;

  const CpuIsa isa_;
  const OpsKernels& kernels_;
  ThreadPool& pool_;
  DeviceMemory& memory_;
  const int64_t max_rows_;
  const bool use_onednn_;
  DnnlGemm dnnl_;
  std::vector<Job> jobs_;     // at work
  DeviceBuffer packed_rows_;  // of all jobs at work
  DeviceBuffer thread_scratch_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_GEMM_H_
