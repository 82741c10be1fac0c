#include "ops/cpu/gemm.h"

#include <algorithm>
#include <utility>

#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Row blocks that one task multiplies with a panel: their sums stay in L2, and a widened slice
// serves enough rows to be nearly free.
constexpr int64_t kRangeBlocks = 16;

// Panels that one of oneDNN's products takes: it copies its block of x, so one would be dear.
constexpr int64_t kGroupPanels = 4;

// Tasks per thread that keep all threads busy to the end.
constexpr int64_t kTasksPerThread = 4;

// Weights that are worth a task of our kernels.
constexpr int64_t kTaskBytes = int64_t{64} << 10;

// Products at work at once.
constexpr size_t kMaxJobs = 512;

// Numbers of x that are packed before a fork pays.
constexpr int64_t kPackInline = 32768;

char* Element(const DeviceMatrix& m, int64_t row, int64_t col) {
  return static_cast<char*>(m.data) +
         (row * m.row_stride + col) * static_cast<int64_t>(DTypeBytes(m.dtype));
}

// The first of DnnlGemm::kHeights that `rows`, at least the last of them, fill.
int HeightAt(int64_t rows) {
  int height = 0;
  while (rows < DnnlGemm::kHeights[height]) ++height;
  return height;
}

// The job that has `number`, by the ends of the jobs' numbers.
template <typename Jobs, typename End>
size_t JobOf(const Jobs& jobs, int64_t number, End end) {
  const auto job = std::upper_bound(jobs.begin(), jobs.end(), number,
                                    [end](int64_t n, const auto& j) { return n < j.*end; });
  return job - jobs.begin();
}

}  // namespace

Gemm::Gemm(CpuIsa isa, ThreadPool& pool, DeviceMemory& memory, int64_t max_rows, bool use_onednn)
    : isa_(isa),
      kernels_(OpsKernelsFor(isa)),
      pool_(pool),
      memory_(memory),
      max_rows_(max_rows),
      use_onednn_(use_onednn),
      dnnl_(kernels_, pool.num_threads()) {
  QUIRE_CHECK_GT(max_rows, 0);
  jobs_.reserve(kMaxJobs);
}

absl::Status Gemm::Prepare(const PackedLinear& linear) {
  // Not for fp32: measured on AVX-512, oneDNN reaches what our kernels do at 256 rows and 0.8 of it
  // at 64.
  const bool may_use_onednn = use_onednn_ && isa_ == CpuIsa::kAvx512Bf16 && linear.is_bf16() &&
                              linear.in_features() == linear.padded_features();
  if (may_use_onednn) {
    const int64_t panels = OneDnnPanels(linear);
    dnnl_.Prepare(linear.act_dtype(), linear.in_features(), panels);
    if (const int64_t left = linear.num_panels() % panels; left > 0) {
      dnnl_.Prepare(linear.act_dtype(), linear.in_features(), left);
    }
  }
  if (thread_scratch_.data() == nullptr) {
    QUIRE_ASSIGN_OR_RETURN(thread_scratch_, memory_.Allocate(ThreadBytes(), "workspace"));
  }
  const size_t packed_bytes = PackedBytes(linear);
  if (packed_bytes > packed_rows_.bytes()) {
    packed_rows_ = DeviceBuffer();
    QUIRE_ASSIGN_OR_RETURN(packed_rows_, memory_.Allocate(packed_bytes, "workspace"));
  }
  return absl::OkStatus();
}

int64_t Gemm::OneDnnPanels(const PackedLinear& linear) const {
  int64_t panels = kGroupPanels;
  while (panels > 1 && linear.num_panels() < panels * kTasksPerThread * pool_.num_threads()) {
    panels /= 2;
  }
  return panels;
}

bool Gemm::UsesOneDnn(const PackedLinear& linear) const {
  const int64_t panels = OneDnnPanels(linear);
  const int64_t left = linear.num_panels() % panels;
  const auto usable = [&](int64_t some) {
    return dnnl_.Find(linear.act_dtype(), linear.in_features(), some) != nullptr;
  };
  return usable(panels) && (left == 0 || usable(left));
}

bool Gemm::PacksPairs(const PackedLinear& linear) const {
  return linear.is_bf16() && kernels_.packs_pairs;
}

int64_t Gemm::RowNumbers(const PackedLinear& linear) const {
  return linear.padded_features() / (PacksPairs(linear) ? 2 : 1);
}

int64_t Gemm::SumsNumbers() const { return kRangeBlocks * kernels_.tile_rows * kPanelColumns; }

// Of a thread: sums, chain and widened of our kernels, or the sums of oneDNN.
int64_t Gemm::ScratchNumbers() const {
  return std::max(2 * SumsNumbers() + kWidenedRows * kPanelColumns,
                  use_onednn_ ? DnnlGemm::kHeights[0] * kGroupPanels * kPanelColumns : 0);
}

void Gemm::Run(absl::Span<const Product> products) {
  while (!products.empty()) {
    products.remove_prefix(MakeJobs(products));
    if (jobs_.empty()) continue;
    CutPanels();
    PackRows();
    // Panel by panel, so that the weights come from memory once.
    pool_.ParallelFor(jobs_.back().end_task, [&](int64_t task, int thread) {
      RunTask(JobOf(jobs_, task, &Job::end_task), task, thread);
    });
  }
}

int64_t Gemm::MakeJobs(absl::Span<const Product> products) {
  jobs_.clear();
  const auto room = static_cast<int64_t>(packed_rows_.bytes() / sizeof(float));
  auto* packed = static_cast<float*>(packed_rows_.data());
  int64_t used = 0;
  int64_t taken = 0;
  for (const Product& product : products) {
    QUIRE_CHECK_LE(product.x.rows, max_rows_);
    if (product.x.rows > 0) {
      Job job = MakeJob(product);
      const int64_t numbers = (job.x.rows - job.kernel_row) * RowNumbers(*job.linear);
      if (used + numbers > room || jobs_.size() == kMaxJobs) break;
      job.packed = packed + used;
      job.end_block = job.num_blocks + (jobs_.empty() ? 0 : jobs_.back().end_block);
      used += numbers;
      jobs_.push_back(job);
    }
    ++taken;
  }
  QUIRE_CHECK_GT(taken, 0);
  return taken;
}

Gemm::Job Gemm::MakeJob(const Product& product) const {
  Job job{};
  job.linear = static_cast<const PackedLinear*>(product.linear);
  job.x = product.x;
  job.y = product.y;
  const int64_t rows = job.x.rows;
  const int64_t least = DnnlGemm::kHeights.back();
  if (rows >= least && job.x.row_stride == job.x.cols && UsesOneDnn(*job.linear)) {
    job.kernel_row = rows / least * least;
    for (int64_t row = 0; row < job.kernel_row; ++job.segments) {
      row += DnnlGemm::kHeights[HeightAt(job.kernel_row - row)];
    }
  }
  job.num_blocks = CeilDiv(rows - job.kernel_row, kernels_.tile_rows);
  job.ranges = CeilDiv(job.num_blocks, kRangeBlocks);
  job.segments += job.ranges;
  return job;
}

// Few tasks cost balance, many cost forks: each takes panels of kTaskBytes together, or less where
// that would be too few tasks.
void Gemm::CutPanels() {
  int64_t bytes = 0;
  for (const Job& job : jobs_)
    bytes += job.linear->num_panels() * static_cast<int64_t>(job.linear->panel_bytes());
  const int64_t task_bytes = std::min(kTaskBytes, bytes / (kTasksPerThread * pool_.num_threads()));
  int64_t end = 0;
  for (Job& job : jobs_) {
    job.group_panels =
        job.kernel_row > 0
            ? OneDnnPanels(*job.linear)
            : std::max<int64_t>(1, task_bytes / static_cast<int64_t>(job.linear->panel_bytes()));
    job.groups = CeilDiv(job.linear->num_panels(), job.group_panels);
    end += job.groups * job.segments;
    job.end_task = end;
  }
}

void Gemm::PackRows() {
  int64_t numbers = 0;
  for (const Job& job : jobs_) numbers += (job.x.rows - job.kernel_row) * job.x.cols;
  if (numbers <= kPackInline) {
    for (const Job& job : jobs_) {
      for (int64_t block = 0; block < job.num_blocks; ++block) PackBlock(job, block);
    }
    return;
  }
  pool_.ParallelFor(jobs_.back().end_block, [&](int64_t block, int /*thread*/) {
    const Job& job = jobs_[JobOf(jobs_, block, &Job::end_block)];
    PackBlock(job, block - (job.end_block - job.num_blocks));
  });
}

void Gemm::PackBlock(const Job& job, int64_t block) {
  const PackedLinear& linear = *job.linear;
  const int64_t rows = job.x.rows - job.kernel_row;
  const int64_t row = rows * block / job.num_blocks;
  const auto count = static_cast<int>(rows * (block + 1) / job.num_blocks - row);
  kernels_.pack_rows[linear.is_bf16()]({Element(job.x, job.kernel_row + row, 0), job.x.row_stride,
                                        linear.in_features(), linear.padded_features(), count,
                                        job.packed + row * RowNumbers(linear)});
}

void Gemm::RunTask(size_t index, int64_t task, int thread) {
  const Job& job = jobs_[index];
  task -= job.end_task - job.groups * job.segments;
  const int64_t segment = task % job.segments;
  const int64_t begin = task / job.segments * job.group_panels;
  const int64_t end = std::min(begin + job.group_panels, job.linear->num_panels());
  const int64_t onednn_segments = job.segments - job.ranges;
  if (segment < onednn_segments) {
    return RunOneDnn(job, segment, begin, end - begin, thread);
  }
  for (int64_t panel = begin; panel < end; ++panel) {
    // Threads that keep pace take groups in turn.
    const int64_t skipped = panel + 1 < end ? 0 : (pool_.num_threads() - 1) * job.group_panels;
    RunPanel(job, segment - onednn_segments, panel, PanelAfter(index, panel + 1 + skipped), thread);
  }
}

const void* Gemm::PanelAfter(size_t index, int64_t panel) const {
  for (; panel >= jobs_[index].linear->num_panels() && index + 1 < jobs_.size(); ++index) {
    panel -= jobs_[index].linear->num_panels();
  }
  const PackedLinear& linear = *jobs_[index].linear;
  return linear.panel(std::min(panel, linear.num_panels() - 1));
}

void Gemm::RunOneDnn(const Job& job, int64_t segment, int64_t begin, int64_t panels, int thread) {
  const PackedLinear& linear = *job.linear;
  int64_t row = 0;
  int height = HeightAt(job.kernel_row);
  for (; segment > 0; --segment) {
    row += DnnlGemm::kHeights[height];
    height = HeightAt(job.kernel_row - row);
  }
  const DnnlGemm::Shape* shape = dnnl_.Find(linear.act_dtype(), linear.in_features(), panels);
  float* sums = Scratch(thread);
  shape->products[height]->Run(thread, Element(job.x, row, 0), linear.panel(begin), sums);
  const int64_t column = begin * kPanelColumns;
  FinishArgs args;
  args.sums = sums;
  args.sums_stride = panels * kPanelColumns;
  args.rows = DnnlGemm::kHeights[height];
  args.columns = std::min(panels * kPanelColumns, linear.out_features() - column);
  args.bias = linear.bias() == nullptr ? nullptr : linear.bias() + column;
  args.y = Element(job.y, row, column);
  args.y_stride = job.y.row_stride;
  args.y_type = ToElementType(job.y.dtype);
  kernels_.finish(args);
}

void Gemm::RunPanel(const Job& job, int64_t range, int64_t panel, const void* next_panel,
                    int thread) {
  const PackedLinear& linear = *job.linear;
  const int64_t column = panel * kPanelColumns;
  PanelGemmArgs args;
  args.packed_rows = job.packed;
  args.rows = job.x.rows - job.kernel_row;
  args.num_blocks = job.num_blocks;
  args.block_begin = job.num_blocks * range / job.ranges;
  args.block_end = job.num_blocks * (range + 1) / job.ranges;
  args.in_features = linear.in_features();
  args.padded_features = linear.padded_features();
  args.panel = linear.panel(panel);
  args.next_panel = next_panel;
  args.columns = std::min(kPanelColumns, linear.out_features() - column);
  args.bias = linear.bias() == nullptr ? nullptr : linear.bias() + column;
  args.y = Element(job.y, job.kernel_row, column);
  args.y_stride = job.y.row_stride;
  args.y_type = ToElementType(job.y.dtype);
  args.sums = Scratch(thread);
  args.chain = args.sums + SumsNumbers();
  args.widened = args.chain + SumsNumbers();
  kernels_.gemm[linear.is_bf16()](args);
}

float* Gemm::Scratch(int thread) const {
  return static_cast<float*>(thread_scratch_.data()) + thread * ScratchNumbers();
}

}  // namespace quire
