// Un-absorbed attention of prompt rows on the CPU: cache rows are projected up a chunk of keys at a
// time, and the kernels of plain attention run on the chunk.
//
// A chunk holds pieces: keys of one entry that lie in one split, so that it is what a row's softmax
// is cut into anyway, wherever a prompt's chunks begin. Pieces of several entries share a chunk and
// with it one projection. The rows' states wait between the chunks; per row and head they merge in
// the order of the splits.
#ifndef QUIRE_ATTENTION_CPU_MLA_PREFILL_H_
#define QUIRE_ATTENTION_CPU_MLA_PREFILL_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "attention/cpu/attention_kernel_table.h"
#include "attention/cpu/cpu_mla.h"
#include "attention/mla.h"

namespace quire {

class MlaPrefill {
 public:
  static absl::StatusOr<std::unique_ptr<MlaPrefill>> Create(ThreadPool& pool, DeviceMemory& memory,
                                                            CpuIsa isa, const MlaLimits& limits);
  static int64_t Bytes(const MlaLimits& limits, int threads, CpuIsa isa);

  void Run(const MlaPrefillParams& params, const AttentionBatch& batch, MlaExpand expand);

 private:
  // Pages of the chunk, whatever the cache's own are, and how many it has.
  static constexpr int64_t kPageTokens = 64;
  static constexpr int64_t kPages = kSplitTokens / kPageTokens;

  struct Piece {
    int64_t entry;
    int64_t split;
    int64_t keys;
    int64_t first_page;  // of the chunk
    int64_t first_row;   // of latent and expanded
    int64_t first_item;
    int64_t query_blocks;  // items: heads x query_blocks
  };
  struct Chunk {
    std::array<Piece, kPages> pieces = {};
    int64_t num_pieces = 0;
    int64_t pages = 0;
    int64_t rows = 0;
    int64_t items = 0;
  };
  // One call's arguments.
  struct Call {
    const MlaPrefillParams& params;
    const AttentionBatch& batch;
  };
  struct Layout;

  MlaPrefill(ThreadPool& pool, CpuIsa isa, const MlaLimits& limits, DeviceBuffer buffer);

  static KvPageLayout PageLayout(const MlaLimits& limits);
  void AddPiece(const AttentionBatch& batch, int64_t entry, int64_t split, int64_t keys);
  void RunChunk(const Call& call, MlaExpand expand);
  void GatherPages(const Call& call, int64_t task) const;
  void ExpandPage(int64_t page, int head) const;
  void Attend(const Call& call, int64_t number, int thread) const;

  ThreadPool& pool_;
  const MlaKernels& kernels_;
  const AttentionKernels& gqa_kernels_;
  const MlaLimits limits_;
  const KvPageLayout layout_;  // of the chunk's pages
  DeviceBuffer buffer_;
  // In buffer_:
  float* scratch_;  // [threads] of scratch_numbers_
  int64_t scratch_numbers_;
  float* states_;                         // [max_rows] of H (Dv + 2)
  DeviceMatrix latent_;                   // [kSplitTokens, cache_dim] cache rows
  DeviceMatrix expanded_;                 // [kSplitTokens, H (Dn + Dv)]
  char* pages_;                           // [kPages]
  std::array<int32_t, kPages> page_ids_;  // 0, 1, ...
  Chunk chunk_;                           // at work
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_MLA_PREFILL_H_
