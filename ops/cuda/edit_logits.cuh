// y of sampler.h: a copy of a row of logits with biases, bans and penalties. One block owns a piece
// of a row and those of the row's edits that fall into it. It copies: no FLOPs to speak of.
#ifndef QUIRE_OPS_CUDA_EDIT_LOGITS_CUH_
#define QUIRE_OPS_CUDA_EDIT_LOGITS_CUH_

#include <bit>
#include <cstdint>

#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "ops/cuda/records.cuh"
#include "ops/cuda/sampler_args.h"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kEditThreads = 256;
inline constexpr int kEditPiece = 8192;  // ids of a block
inline constexpr float kMinusInfinity = std::bit_cast<float>(0xff800000U);

struct EditLogitsParams {
  Global<const float> logits;
  int64_t logits_stride;
  int size;  // V
  Global<const EditRow> rows;
  Global<const LogitEdit> edits;
  Global<float> edited;
  int64_t edited_stride;
  Global<const int32_t> drawn_before;
};

// Each product is rounded by itself, and so is each difference.
QUIRE_DEVICE float Penalised(float y, float count, const EditRow& row) {
  y = y > 0.0F ? ExactDivide(y, row.repetition_penalty) : ExactMultiply(y, row.repetition_penalty);
  if (count > 0.0F) y = y - ExactMultiply(row.frequency_penalty, count) - row.presence_penalty;
  return y;
}

// Block (i, piece): ids [piece * kEditPiece, ...) of edited row i.
QUIRE_KERNEL(kEditThreads, 4)
void EditLogitsKernel(EditLogitsParams p) {
  SharedMemory memory;
  const Shared<int> pending_is_listed = memory.Take<int>(1);
  if (ThreadIndex() == 0) pending_is_listed.Store(0, 0);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const EditRow row = LoadRecord(p.rows, BlockX());
  const Global<const float> logits = p.logits + row.logits_row * p.logits_stride;
  const Global<float> edited = p.edited + BlockX() * p.edited_stride;
  const int begin = BlockY() * kEditPiece;
  const int end = begin + kEditPiece < p.size ? begin + kEditPiece : p.size;
  for (int i = begin + ThreadIndex(); i < end; i += kEditThreads) {
    const float y = logits.Load<Cache::kStream>(i);
    edited.Store(i, y != y ? kMinusInfinity : y);
  }
  int next = row.first_edit;
  const auto apply = [&](int count, auto change) {
    BlockBarrier();
    for (int i = ThreadIndex(); i < count; i += kEditThreads) {
      const LogitEdit edit = LoadRecord(p.edits, next + i);
      DeviceCheck(edit.id >= 0 && edit.id < p.size);
      if (edit.id < begin || edit.id >= end) continue;
      edited.Store(edit.id, change(edited.Load(edit.id), edit));
    }
    next += count;
  };
  apply(row.num_biases, [](float y, const LogitEdit& edit) { return y + edit.value; });
  apply(row.num_bans, [](float, const LogitEdit&) { return kMinusInfinity; });
  const int pending = row.pending < 0 ? -1 : p.drawn_before.Load(row.pending);
  apply(row.num_penalties, [&](float y, const LogitEdit& edit) {
    const bool again = edit.id == pending;
    if (again) pending_is_listed.Store(0, 1);
    return Penalised(y, again ? edit.value + 1.0F : edit.value, row);
  });
  BlockBarrier();
  if (ThreadIndex() == 0 && pending >= begin && pending < end && pending_is_listed.Load(0) == 0) {
    edited.Store(pending, Penalised(edited.Load(pending), 1.0F, row));
  }
}

// args.rows.size of them.
template <typename Launcher>
void LaunchEditLogits(Launcher& launcher, const EditLogitsArgs& args) {
  const EditLogitsParams params{
      .logits = Global<const float>(static_cast<const float*>(args.logits.data)),
      .logits_stride = args.logits.row_stride,
      .size = static_cast<int>(args.logits.cols),
      .rows = Global<const EditRow>(args.rows.data),
      .edits = Global<const LogitEdit>(args.edits.data),
      .edited = Global<float>(static_cast<float*>(args.edited.data)),
      .edited_stride = args.edited.row_stride,
      .drawn_before = Global<const int32_t>(args.drawn_before),
  };
  launcher.Launch({.name = "edit_logits",
                   .grid = {.x = args.rows.size, .y = CeilDiv(args.logits.cols, kEditPiece)},
                   .threads = kEditThreads,
                   .shared_bytes = SharedBytes<int>(1),
                   .overlaps_earlier = true},
                  &EditLogitsKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_EDIT_LOGITS_CUH_
