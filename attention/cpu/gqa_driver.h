// Cuts a batch of attention into items for the kernels and runs them on the pool.
#ifndef QUIRE_ATTENTION_CPU_GQA_DRIVER_H_
#define QUIRE_ATTENTION_CPU_GQA_DRIVER_H_

#include <cstdint>
#include <vector>

#include "attention/attention.h"
#include "attention/cpu/kernels/attention_kernels.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"

namespace quire {

// Numbers of the partials' buffer, per thread: of the states that cuts along the keys leave.
inline constexpr int64_t kPartialNumbersPerThread = int64_t{1} << 19;

// A batch to attend, and the keys around its own position that a row sees (GqaItem).
struct GqaProblem {
  const GqaParams& params;
  const AttentionBatch& batch;
  int64_t before = kAllKeys;
  int64_t after = 0;
};

class GqaDriver {
 public:
  // `scratch` is [threads] of scratch_numbers each, `partials` the states of cuts.
  GqaDriver(ThreadPool& pool, const AttentionKernels& kernels, int64_t max_entries, float* scratch,
            int64_t scratch_numbers, float* partials, int64_t partial_numbers);

  // Allocates nothing.
  void Run(const GqaProblem& problem);

 private:
  // How one entry is cut into items: key/value heads x blocks of a group's heads x blocks of
  // queries, and, where `splits` is not 0, x splits of the keys (the prefix, if any, first).
  struct Entry {
    int64_t first_item = 0;
    int64_t queries = 0;
    int64_t item_queries = 0;  // the most of one item
    int64_t first_split = 0;
    int64_t splits = 0;
    int64_t first_partial = 0;  // number in the partials' buffer
    int64_t first_merge = 0;    // counts the items of cut entries
  };
  // How a batch is cut; `entries_` holds the rest.
  struct Cut {
    int64_t num_entries = 0;
    int64_t head_blocks = 0;  // of a group
    int64_t item_heads = 0;   // the most of one item
    int64_t columns = 0;      // items of one block of queries: kv heads x head blocks
    int64_t items = 0;
    int64_t merges = 0;
  };

  Cut CutBatch(const GqaProblem& problem);
  void CutKeys(const GqaProblem& problem, int64_t kv_len, int64_t state_numbers, int64_t taken,
               Entry& entry) const;
  GqaItem MakeItem(const GqaProblem& problem, const Cut& cut, int64_t e, int64_t index) const;
  int64_t FindEntry(const Cut& cut, int64_t Entry::*first, int64_t number) const;
  float* Partials(const Cut& cut, const GqaItem& item, const Entry& entry, int64_t index) const;
  void RunItem(const GqaProblem& problem, const Cut& cut, int64_t number, int thread);
  void Merge(const GqaProblem& problem, const Cut& cut, int64_t number);

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  float* scratch_;
  int64_t scratch_numbers_;
  float* partials_;
  int64_t partial_numbers_;
  std::vector<Entry> entries_;  // of the batch at work, and its end
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_GQA_DRIVER_H_
