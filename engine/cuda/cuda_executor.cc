#include "engine/cuda/cuda_executor.h"

#include <array>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/status_macros.h"
#include "engine/cuda/device_placement.h"
#include "engine/token_drawer.h"
#include "ops/cuda/launch_sampler.h"

namespace quire {
namespace {

class CudaExecutor : public Executor {
 public:
  CudaExecutor(Decoder& decoder, CudaSampler& sampler, DeviceQueue& queue,
               std::unique_ptr<DevicePlacement> placement, std::unique_ptr<DecodeGraphs> graphs)
      : decoder_(decoder),
        sampler_(sampler),
        queue_(queue),
        placement_(std::move(placement)),
        graphs_(std::move(graphs)),
        drawer_(decoder) {}
  // What is queued reads memory that goes with this.
  ~CudaExecutor() override { queue_.Wait(); }

  void Submit(const StepBatch& batch) override {
    QUIRE_CHECK_LT(submitted_ - taken_, kCudaPipelineDepth);
    const int slot = static_cast<int>(submitted_ % kCudaPipelineDepth);
    sampler_.BeginBatch(slot);
    const int64_t graph_rows = graphs_->RowsFor(batch.model);
    const PlacedBatch& placed = Place(batch, slot, graph_rows);
    decoder_.Prepare(placed.model);
    if (placed.token_sources.size > 0) {
      QUIRE_CHECK_GT(submitted_, 0);
      const int before = static_cast<int>((submitted_ - 1) % kCudaPipelineDepth);
      cuda::TakeDrawn(queue_, {.sources = placed.token_sources,
                               .drawn = sampler_.drawn(before),
                               .ids = placed.token_ids});
    }
    if (graph_rows > 0) {
      graphs_->Run(graph_rows);
    } else {
      decoder_.Compute(placed.model);
    }
    for (const PoolSpan& span : batch.pooled) {
      decoder_.SumHidden(span.first_row, span.count, span.sum);
    }
    drawer_.Run(batch, placed.logits_rows, placed.scored_rows, sampler_.slot(slot),
                slots_[slot].result);
    slots_[slot].done = queue_.SetMark();
    ++submitted_;
  }

  const StepResult& Wait() override {
    QUIRE_CHECK_LT(taken_, submitted_);
    const int slot = static_cast<int>(taken_++ % kCudaPipelineDepth);
    queue_.Await(slots_[slot].done);
    sampler_.Collect(slot);
    return slots_[slot].result;
  }

  std::string Describe() const override { return graphs_->Describe(); }

 private:
  struct Slot {
    DeviceQueue::Mark done = 0;
    StepResult result;
  };

  const PlacedBatch& Place(const StepBatch& batch, int slot, int64_t graph_rows) {
    HostArrays arrays{batch.model, batch.token_sources, batch.logits_rows, batch.scored_rows};
    if (graph_rows == 0) return placement_->Place(slot, arrays);
    const ModelBatch& padded = graphs_->padding().Pad(batch.model, graph_rows);
    return placement_->PlaceDecode(
        slot, {padded, arrays.token_sources, arrays.logits_rows, arrays.scored_rows}, graph_rows);
  }

  Decoder& decoder_;
  CudaSampler& sampler_;
  DeviceQueue& queue_;
  std::unique_ptr<DevicePlacement> placement_;
  std::unique_ptr<DecodeGraphs> graphs_;
  TokenDrawer drawer_;
  std::array<Slot, kCudaPipelineDepth> slots_;
  int64_t submitted_ = 0;
  int64_t taken_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(Decoder& decoder, CudaSampler& sampler,
                                                           DeviceQueue& queue, DeviceMemory& memory,
                                                           const BatchLimits& limits,
                                                           const DecodeGraphOptions& graphs) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<DevicePlacement> placement,
                         DevicePlacement::Create(limits, kCudaPipelineDepth, queue, memory));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<DecodeGraphs> recorded,
                         DecodeGraphs::Record(graphs, limits, decoder, *placement, queue));
  return std::make_unique<CudaExecutor>(decoder, sampler, queue, std::move(placement),
                                        std::move(recorded));
}

}  // namespace quire
