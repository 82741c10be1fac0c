// y of sampler.h: a copy of a row of logits with biases, bans and penalties. One block owns a piece
// of a row, the same piece of its penalty row, and those of the row's edits that fall into it. It
// copies: no FLOPs to speak of.
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
  Global<int32_t> counts;
  int64_t counts_stride;
  Global<const int32_t> drawn_before;
};

inline constexpr int kCountPack = 4;

// `counted` is not 0. Each product is rounded by itself, and so is each difference.
QUIRE_DEVICE float Penalised(float y, int32_t counted, const EditRow& row) {
  y = y > 0.0F ? ExactDivide(y, row.repetition_penalty) : ExactMultiply(y, row.repetition_penalty);
  const int32_t count = counted & (kInPrompt - 1);
  if (count == 0) return y;
  return y - ExactMultiply(row.frequency_penalty, static_cast<float>(count)) - row.presence_penalty;
}

// Block (i, piece): ids [piece * kEditPiece, ...) of edited row i.
QUIRE_KERNEL(kEditThreads, 4)
void EditLogitsKernel(EditLogitsParams p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const EditRow row = LoadRecord(p.rows, BlockX());
  const bool has_penalties = row.penalty_row >= 0;
  const Global<const float> logits = p.logits + row.logits_row * p.logits_stride;
  const Global<float> edited = p.edited + BlockX() * p.edited_stride;
  const Global<int32_t> counts = p.counts + (has_penalties ? row.penalty_row : 0) * p.counts_stride;
  const int begin = BlockY() * kEditPiece;
  const int end = begin + kEditPiece < p.size ? begin + kEditPiece : p.size;
  for (int i = begin + ThreadIndex(); i < end; i += kEditThreads) {
    const float y = logits.Load<Cache::kStream>(i);
    edited.Store(i, y != y ? kMinusInfinity : y);
  }
  // Packs may go beyond V: there the counts are zero.
  const auto for_each_pack = [&](auto visit) {
    for (int i = begin + ThreadIndex() * kCountPack; i < end; i += kEditThreads * kCountPack) {
      visit(i);
    }
  };
  if (has_penalties && row.counts_anew != 0) {
    for_each_pack([&](int i) { counts.StorePack(i, Pack<int32_t, kCountPack>{}); });
  }
  int next = row.first_edit;
  const auto for_each_edit = [&](int count, auto visit) {
    BlockBarrier();
    for (int i = ThreadIndex(); i < count; i += kEditThreads) {
      const LogitEdit edit = LoadRecord(p.edits, next + i);
      DeviceCheck(edit.id >= 0 && edit.id < p.size);
      if (edit.id >= begin && edit.id < end) visit(edit);
    }
    next += count;
  };
  for_each_edit(row.num_biases, [&](const LogitEdit& edit) {
    edited.Store(edit.id, edited.Load(edit.id) + edit.value);
  });
  for_each_edit(row.num_bans,
                [&](const LogitEdit& edit) { edited.Store(edit.id, kMinusInfinity); });
  if (has_penalties) {
    for_each_edit(row.num_counts, [&](const LogitEdit& edit) {
      counts.AtomicAdd(edit.id, static_cast<int32_t>(edit.value));
    });
    const int pending = row.pending < 0 ? -1 : p.drawn_before.Load(row.pending);
    if (ThreadIndex() == 0 && pending >= begin && pending < end) counts.AtomicAdd(pending, 1);
    BlockBarrier();
    for_each_pack([&](int i) {
      const Pack<int32_t, kCountPack> counted = counts.LoadPack<kCountPack>(i);
      QUIRE_UNROLL
      for (int k = 0; k < kCountPack; ++k) {
        if (counted[k] != 0) edited.Store(i + k, Penalised(edited.Load(i + k), counted[k], row));
      }
    });
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
      .counts = Global<int32_t>(args.counts),
      .counts_stride = args.counts_stride,
      .drawn_before = Global<const int32_t>(args.drawn_before),
  };
  launcher.Launch({.name = "edit_logits",
                   .grid = {.x = args.rows.size, .y = CeilDiv(args.logits.cols, kEditPiece)},
                   .threads = kEditThreads,
                   .overlaps_earlier = true},
                  &EditLogitsKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_EDIT_LOGITS_CUH_
