// Scores tokens: the sum under the softmax of a row, in integer weights, a token's logit, and the
// likeliest ones. One block owns a row and reads it twice, and as often again as select.cuh does.
#ifndef QUIRE_OPS_CUDA_SCORE_CUH_
#define QUIRE_OPS_CUDA_SCORE_CUH_

#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_reduce.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "ops/cuda/logit_row.cuh"
#include "ops/cuda/records.cuh"
#include "ops/cuda/sampler_args.h"
#include "ops/cuda/select.cuh"

namespace quire::QUIRE_CUDA_TARGET {

struct ScoreParams {
  int size;  // V
  int id_bits;
  Global<const float> logits;
  int64_t logits_stride;
  Global<const ScoreRow> rows;
  Global<const int32_t> tokens;
  Global<RowScore> scores;
  Global<TopLogit> top;
  int top_stride;
};

// Writes the first `count` elements of the row, or all its numbers, and returns how many.
QUIRE_DEVICE int WriteTop(const LogitRow& row, ElementOrder order, RowSelect& select, int count,
                          const SelectMemory& memory, Global<TopLogit> top) {
  const uint64_t numbers = order.Last(kRankOfMinusInfinity);
  const uint64_t cut = select.CutAtCount(count, numbers, /*weightless=*/true);
  const int listed = select.ListUpTo(cut);
  for (int i = ThreadIndex(); i < listed; i += BlockThreads()) {
    const uint64_t own = memory.list.Load(i);
    int place = 0;
    for (int j = 0; j < listed; ++j) place += memory.list.Load(j) < own ? 1 : 0;
    const int id = order.Id(own);
    StoreRecord(top, place, TopLogit{id, row.Load(id)});
  }
  return listed;
}

QUIRE_KERNEL(kMaxBlockThreads, 1)
void ScoreKernel(ScoreParams p) {
  SharedMemory shared;
  const SelectMemory memory = SelectMemory::Take(shared);
  const Shared<uint64_t> total_scratch = shared.Take<uint64_t>(BlockWarps());
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const ScoreRow what = LoadRecord(p.rows, BlockX());
  const LogitRow row(p.logits + what.row * p.logits_stride, p.size);
  const ElementOrder order(p.id_bits);
  const uint64_t first = FirstElement(row, order, memory.scratch);
  RowScore score;
  const int token = what.token >= 0 ? what.token : p.tokens.Load(what.draw);
  DeviceCheck(token < p.size);
  if (token >= 0 && IsFiniteRank(order.Rank(first))) {
    RowSelect select(row, order, first, TemperatureScale(1.0F), memory);
    uint64_t total = 0;
    row.ForEach([&](int /*id*/, float y) { total += select.weighing()(y); });
    score = {.token = token,
             .logit = row.Load(token),
             .max = select.weighing().max,
             .total = BlockReduce(total, Plus(), total_scratch)};
    if (what.top > 0) {
      DeviceCheck(what.top <= p.top_stride);
      score.num_top =
          WriteTop(row, order, select, what.top, memory, p.top + BlockX() * p.top_stride);
    }
  }
  if (ThreadIndex() == 0) StoreRecord(p.scores, BlockX(), score);
}

// args.rows.size of them; 0 < V <= kMaxSampledVocabulary.
template <typename Launcher>
void LaunchScore(Launcher& launcher, const ScoreArgs& args) {
  const int threads = SampleThreads(args.logits.cols);
  const ScoreParams params{
      .size = static_cast<int>(args.logits.cols),
      .id_bits = IdBits(args.logits.cols),
      .logits = Global<const float>(static_cast<const float*>(args.logits.data)),
      .logits_stride = args.logits.row_stride,
      .rows = Global<const ScoreRow>(args.rows.data),
      .tokens = Global<const int32_t>(args.tokens),
      .scores = Global<RowScore>(args.scores),
      .top = Global<TopLogit>(args.top),
      .top_stride = args.top_stride,
  };
  launcher.Launch(
      {.name = "score",
       .grid = {.x = args.rows.size},
       .threads = threads,
       .shared_bytes = SelectMemory::Bytes(threads) + SharedBytes<uint64_t>(threads / kWarpLanes),
       .overlaps_earlier = true},
      &ScoreKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_SCORE_CUH_
