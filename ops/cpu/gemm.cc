#include "ops/cpu/gemm.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Row blocks that one task multiplies with a panel: their sums stay in L2 with the widened chunk,
// and a widened chunk serves enough rows to be nearly free.
constexpr int64_t kRangeBlocks = 16;

// Numbers of x that are packed before a fork pays.
constexpr int64_t kPackInline = 32768;

// Scratch of one thread: sums, chain, widened.
int64_t SumsNumbers(const OpsKernels& kernels) {
  return kRangeBlocks * kernels.tile_rows * kPanelColumns;
}
int64_t ScratchNumbers(const OpsKernels& kernels) {
  return 2 * SumsNumbers(kernels) + kWidenedRows * kPanelColumns;
}

}  // namespace

Gemm::Gemm(CpuIsa isa, ThreadPool& pool, DeviceMemory& memory, int64_t max_rows)
    : kernels_(OpsKernelsFor(isa)), pool_(pool), memory_(memory), max_rows_(max_rows) {
  QUIRE_CHECK_GT(max_rows, 0);
}

absl::Status Gemm::Prepare(const PackedLinear& linear) {
  if (thread_scratch_.data() == nullptr) {
    QUIRE_ASSIGN_OR_RETURN(
        thread_scratch_,
        memory_.Allocate(pool_.num_threads() * ScratchNumbers(kernels_) * sizeof(float),
                         "scratch"));
  }
  const bool pairs = linear.is_bf16() && kernels_.packs_pairs;
  const size_t packed_bytes =
      static_cast<size_t>(max_rows_ * linear.padded_features()) * (pairs ? 2 : 4);
  if (packed_bytes > packed_rows_.bytes()) {
    packed_rows_ = DeviceBuffer();
    QUIRE_ASSIGN_OR_RETURN(packed_rows_, memory_.Allocate(packed_bytes, "scratch"));
  }
  return absl::OkStatus();
}

void Gemm::Run(const PackedLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) {
  const int64_t rows = x.rows;
  QUIRE_CHECK_LE(rows, max_rows_);
  if (rows == 0) return;
  const int64_t num_blocks = (rows + kernels_.tile_rows - 1) / kernels_.tile_rows;
  const int64_t num_ranges = (num_blocks + kRangeBlocks - 1) / kRangeBlocks;
  PackRows(linear, x, num_blocks);
  const int64_t element = static_cast<int64_t>(DTypeBytes(y.dtype));
  // Panel by panel, so that the weights come from memory once.
  pool_.ParallelFor(linear.num_panels() * num_ranges, [&](int64_t task, int thread) {
    const int64_t panel = task / num_ranges;
    const int64_t range = task % num_ranges;
    const int64_t column = panel * kPanelColumns;
    float* scratch =
        static_cast<float*>(thread_scratch_.data()) + thread * ScratchNumbers(kernels_);
    GemmArgs args;
    args.packed_rows = static_cast<const float*>(packed_rows_.data());
    args.rows = rows;
    args.num_blocks = num_blocks;
    args.block_begin = num_blocks * range / num_ranges;
    args.block_end = num_blocks * (range + 1) / num_ranges;
    args.in_features = linear.in_features();
    args.padded_features = linear.padded_features();
    args.panel = linear.panel(panel);
    // Threads that keep pace take panels in turn.
    args.next_panel = linear.panel(std::min(panel + pool_.num_threads(), linear.num_panels() - 1));
    args.columns = std::min(kPanelColumns, linear.out_features() - column);
    args.bias = linear.bias() == nullptr ? nullptr : linear.bias() + column;
    args.y = static_cast<char*>(y.data) + column * element;
    args.y_stride = y.row_stride;
    args.y_type = ToElementType(y.dtype);
    args.sums = scratch;
    args.chain = scratch + SumsNumbers(kernels_);
    args.widened = args.chain + SumsNumbers(kernels_);
    kernels_.gemm[linear.is_bf16()](args);
  });
}

void Gemm::PackRows(const PackedLinear& linear, const DeviceMatrix& x, int64_t num_blocks) {
  const bool pairs = linear.is_bf16() && kernels_.packs_pairs;
  const int64_t row_numbers = linear.padded_features() / (pairs ? 2 : 1);
  const int64_t element = static_cast<int64_t>(DTypeBytes(x.dtype));
  const auto pack = [&](int64_t block, int /*thread*/) {
    const int64_t row = x.rows * block / num_blocks;
    const auto rows = static_cast<int>(x.rows * (block + 1) / num_blocks - row);
    kernels_.pack_rows[linear.is_bf16()](
        {static_cast<const char*>(x.data) + row * x.row_stride * element, x.row_stride,
         linear.in_features(), linear.padded_features(), rows,
         static_cast<float*>(packed_rows_.data()) + row * row_numbers});
  };
  if (x.rows * x.cols <= kPackInline) {
    for (int64_t block = 0; block < num_blocks; ++block) pack(block, 0);
  } else {
    pool_.ParallelFor(num_blocks, pack);
  }
}

}  // namespace quire
