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

// Numbers of x that are packed before a fork pays.
constexpr int64_t kPackInline = 32768;

char* Element(const DeviceMatrix& m, int64_t row, int64_t col) {
  return static_cast<char*>(m.data) +
         (row * m.row_stride + col) * static_cast<int64_t>(DTypeBytes(m.dtype));
}

}  // namespace

struct Gemm::Product {
  const PackedLinear& linear;
  const DeviceMatrix& x;
  const DeviceMatrix& y;
  int64_t group_panels;  // that a task takes; 1 where our kernels do it all
  int64_t kernel_row;    // rows from here on are our kernels'
  int64_t num_blocks;    // of those rows
};

Gemm::Gemm(CpuIsa isa, ThreadPool& pool, DeviceMemory& memory, int64_t max_rows, bool use_onednn)
    : isa_(isa),
      kernels_(OpsKernelsFor(isa)),
      pool_(pool),
      memory_(memory),
      max_rows_(max_rows),
      use_onednn_(use_onednn),
      dnnl_(kernels_, pool.num_threads()) {
  QUIRE_CHECK_GT(max_rows, 0);
  segments_.reserve(max_rows / kernels_.tile_rows + DnnlGemm::kHeights.size() + 1);
}

absl::Status Gemm::Prepare(const PackedLinear& linear) {
  // Not for fp32: measured on AVX-512, oneDNN reaches what our kernels do at 256 rows and 0.8 of it
  // at 64.
  const bool may_use_onednn = use_onednn_ && isa_ == CpuIsa::kAvx512Bf16 && linear.is_bf16() &&
                              linear.in_features() == linear.padded_features();
  if (may_use_onednn) {
    const int64_t panels = GroupPanels(linear);
    dnnl_.Prepare(linear.act_dtype(), linear.in_features(), panels);
    if (const int64_t left = linear.num_panels() % panels; left > 0) {
      dnnl_.Prepare(linear.act_dtype(), linear.in_features(), left);
    }
  }
  if (thread_scratch_.data() == nullptr) {
    QUIRE_ASSIGN_OR_RETURN(
        thread_scratch_,
        memory_.Allocate(pool_.num_threads() * ScratchNumbers() * sizeof(float), "scratch"));
  }
  const size_t packed_bytes =
      static_cast<size_t>(max_rows_ * linear.padded_features()) * (PacksPairs(linear) ? 2 : 4);
  if (packed_bytes > packed_rows_.bytes()) {
    packed_rows_ = DeviceBuffer();
    QUIRE_ASSIGN_OR_RETURN(packed_rows_, memory_.Allocate(packed_bytes, "scratch"));
  }
  return absl::OkStatus();
}

int64_t Gemm::GroupPanels(const PackedLinear& linear) const {
  int64_t panels = kGroupPanels;
  while (panels > 1 && linear.num_panels() < panels * kTasksPerThread * pool_.num_threads()) {
    panels /= 2;
  }
  return panels;
}

bool Gemm::UsesOneDnn(const PackedLinear& linear) const {
  const int64_t panels = GroupPanels(linear);
  const int64_t left = linear.num_panels() % panels;
  const auto usable = [&](int64_t some) {
    return dnnl_.Find(linear.act_dtype(), linear.in_features(), some) != nullptr;
  };
  return usable(panels) && (left == 0 || usable(left));
}

bool Gemm::PacksPairs(const PackedLinear& linear) const {
  return linear.is_bf16() && kernels_.packs_pairs;
}

int64_t Gemm::SumsNumbers() const { return kRangeBlocks * kernels_.tile_rows * kPanelColumns; }

// Of a thread: sums, chain and widened of our kernels, or the sums of oneDNN.
int64_t Gemm::ScratchNumbers() const {
  return std::max(2 * SumsNumbers() + kWidenedRows * kPanelColumns,
                  use_onednn_ ? DnnlGemm::kHeights[0] * kGroupPanels * kPanelColumns : 0);
}

void Gemm::Run(const PackedLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) {
  QUIRE_CHECK_LE(x.rows, max_rows_);
  if (x.rows == 0) return;
  Product product{linear, x, y, 1, 0, 0};
  CutRows(product);
  PackRows(product);
  // Group by group, so that the weights come from memory once.
  const int64_t groups = CeilDiv(linear.num_panels(), product.group_panels);
  const auto segments = static_cast<int64_t>(segments_.size());
  pool_.ParallelFor(groups * segments, [&](int64_t task, int thread) {
    RunTask(product, segments_[task % segments], task / segments, thread);
  });
}

void Gemm::CutRows(Product& product) {
  const int64_t rows = product.x.rows;
  segments_.clear();
  int64_t row = 0;
  if (rows >= DnnlGemm::kHeights.back() && product.x.row_stride == product.x.cols &&
      UsesOneDnn(product.linear)) {
    product.group_panels = GroupPanels(product.linear);
    for (int height = 0; height < static_cast<int>(DnnlGemm::kHeights.size()); ++height) {
      for (; rows - row >= DnnlGemm::kHeights[height]; row += DnnlGemm::kHeights[height]) {
        segments_.push_back({row, DnnlGemm::kHeights[height], height, 0, 0});
      }
    }
  }
  product.kernel_row = row;
  product.num_blocks = CeilDiv(rows - row, kernels_.tile_rows);
  const int64_t ranges = CeilDiv(product.num_blocks, kRangeBlocks);
  for (int64_t range = 0; range < ranges; ++range) {
    Segment segment;
    segment.block_begin = product.num_blocks * range / ranges;
    segment.block_end = product.num_blocks * (range + 1) / ranges;
    segments_.push_back(segment);
  }
}

void Gemm::PackRows(const Product& product) {
  const PackedLinear& linear = product.linear;
  const int64_t rows = product.x.rows - product.kernel_row;
  const int64_t row_numbers = linear.padded_features() / (PacksPairs(linear) ? 2 : 1);
  const auto pack = [&](int64_t block, int /*thread*/) {
    const int64_t row = rows * block / product.num_blocks;
    const auto count = static_cast<int>(rows * (block + 1) / product.num_blocks - row);
    kernels_.pack_rows[linear.is_bf16()](
        {Element(product.x, product.kernel_row + row, 0), product.x.row_stride,
         linear.in_features(), linear.padded_features(), count,
         static_cast<float*>(packed_rows_.data()) + row * row_numbers});
  };
  if (rows * product.x.cols <= kPackInline) {
    for (int64_t block = 0; block < product.num_blocks; ++block) pack(block, 0);
  } else {
    pool_.ParallelFor(product.num_blocks, pack);
  }
}

void Gemm::RunTask(const Product& product, const Segment& segment, int64_t group, int thread) {
  const PackedLinear& linear = product.linear;
  const int64_t begin = group * product.group_panels;
  const int64_t panels = std::min(product.group_panels, linear.num_panels() - begin);
  if (segment.height < 0) {
    for (int64_t panel = begin; panel < begin + panels; ++panel) {
      RunPanel(product, segment, panel, thread);
    }
    return;
  }
  const DnnlGemm::Shape* shape = dnnl_.Find(linear.act_dtype(), linear.in_features(), panels);
  float* sums = Scratch(thread);
  shape->products[segment.height]->Run(thread, Element(product.x, segment.row, 0),
                                       linear.panel(begin), sums);
  const int64_t column = begin * kPanelColumns;
  FinishArgs args;
  args.sums = sums;
  args.sums_stride = panels * kPanelColumns;
  args.rows = segment.rows;
  args.columns = std::min(panels * kPanelColumns, linear.out_features() - column);
  args.bias = linear.bias() == nullptr ? nullptr : linear.bias() + column;
  args.y = Element(product.y, segment.row, column);
  args.y_stride = product.y.row_stride;
  args.y_type = ToElementType(product.y.dtype);
  kernels_.finish(args);
}

void Gemm::RunPanel(const Product& product, const Segment& segment, int64_t panel, int thread) {
  const PackedLinear& linear = product.linear;
  const int64_t column = panel * kPanelColumns;
  // Threads that keep pace take panels in turn.
  const int64_t next = product.group_panels > 1 ? panel + 1 : panel + pool_.num_threads();
  GemmArgs args;
  args.packed_rows = static_cast<const float*>(packed_rows_.data());
  args.rows = product.x.rows - product.kernel_row;
  args.num_blocks = product.num_blocks;
  args.block_begin = segment.block_begin;
  args.block_end = segment.block_end;
  args.in_features = linear.in_features();
  args.padded_features = linear.padded_features();
  args.panel = linear.panel(panel);
  args.next_panel = linear.panel(std::min(next, linear.num_panels() - 1));
  args.columns = std::min(kPanelColumns, linear.out_features() - column);
  args.bias = linear.bias() == nullptr ? nullptr : linear.bias() + column;
  args.y = Element(product.y, product.kernel_row, column);
  args.y_stride = product.y.row_stride;
  args.y_type = ToElementType(product.y.dtype);
  args.sums = Scratch(thread);
  args.chain = args.sums + SumsNumbers();
  args.widened = args.chain + SumsNumbers();
  kernels_.gemm[linear.is_bf16()](args);
}

float* Gemm::Scratch(int thread) const {
  return static_cast<float*>(thread_scratch_.data()) + thread * ScratchNumbers();
}

}  // namespace quire
