// StepPlan -> StepBatch: the only place that knows both.
#ifndef QUIRE_ENGINE_BATCH_BUILDER_H_
#define QUIRE_ENGINE_BATCH_BUILDER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/step_batch.h"
#include "kvcache/kv_manager.h"
#include "scheduler/step_plan.h"

namespace quire {

class BatchBuilder {
 public:
  // `depth` batches may be in use at a time. Each computes its own step rows of the rotation
  // tables, before its other rows. `position_offset` is the row of position 0 in a table of learned
  // positions.
  BatchBuilder(const KvManager& kv, int depth, const RopeRowLayout& rope_rows, int position_offset);

  // Packs the plan's rows. The batch stays valid until `depth` more have been built, but for tokens
  // and parameters that it borrows from the plan's sequences: until the next plan commits. A token
  // that is not known yet is named by the draw of the plan before that makes it.
  const StepBatch& Build(const StepPlan& plan);

 private:
  // The arrays of one batch; their memory is kept from step to step.
  struct Staging {
    std::vector<int32_t> token_ids;      // [T]
    std::vector<int32_t> positions;      // [T]
    std::vector<int32_t> position_rows;  // [T]
    std::vector<int32_t> rope_rows;      // [T]
    std::vector<int32_t> rope_rows2;     // [T], where sinks are streamed
    int64_t step_rows = 0;               // of the rotation tables, taken
    std::vector<int32_t> query_start;    // [S + 1]
    std::vector<int32_t> kv_len;         // [S]
    struct Group {
      std::vector<int64_t> slots;        // [T]
      std::vector<int32_t> table_start;  // [S + 1]
      std::vector<int32_t> first_block;  // [S]
      std::vector<int32_t> blocks;
      std::vector<int32_t> prefix_start;  // [S + 1], where the group has sinks
      std::vector<int32_t> prefix_blocks;
    };
    std::vector<Group> groups;
    StepBatch batch;
  };

  void PackEntry(const PlanEntry& entry, Staging& staging) const;
  void PackRopeRows(const PlanEntry& entry, Staging& staging) const;
  void PackStreamedRows(const PlanEntry& entry, int64_t first_row, Staging& staging) const;
  // The first of new step rows for positions [begin, end) of the sequence.
  int64_t TakeStepRows(const SequenceRope& rope, int64_t begin, int64_t end,
                       Staging& staging) const;
  void PackSamples(const StepPlan& plan, StepBatch& batch) const;
  void RememberDraws(const StepPlan& plan);
  // Of the plan before: which draw makes the sequence's token at `position`.
  int32_t DrawOf(const Sequence& sequence, int64_t position) const;

  // What a sample of a plan makes.
  struct Draw {
    int64_t position = 0;
    int32_t index = 0;  // into StepPlan::samples
  };

  const KvManager& kv_;
  RopeRowLayout rope_rows_;
  int position_offset_;
  std::vector<Staging> ring_;
  absl::flat_hash_map<const Sequence*, Draw> draws_;  // of the plan before, where plans overlap
  size_t next_ = 0;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_BATCH_BUILDER_H_
