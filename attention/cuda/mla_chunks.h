// Cuts the keys of a batch's prompts into chunks for the un-absorbed form. Host code.
#ifndef QUIRE_ATTENTION_CUDA_MLA_CHUNKS_H_
#define QUIRE_ATTENTION_CUDA_MLA_CHUNKS_H_

#include <cstdint>

#include "attention/cuda/mla_args.h"

namespace quire {

// The arrays of AttentionBatch, on the host.
struct MlaHostBatch {
  const int32_t* query_start;  // [S + 1]
  const int32_t* kv_len;       // [S]
  const int32_t* table_start;  // [S + 1]
  int64_t entries;             // S
};

// Calls run(MlaPieces) for chunk after chunk of the keys of entries [first_entry, S) that have
// rows. A chunk has at most `capacity` keys, a multiple of kMlaPieceTokens, and one piece of an
// entry. Results do not depend on the capacity.
template <typename Run>
void ForEachMlaChunk(const MlaHostBatch& batch, int64_t first_entry, int32_t capacity, Run run) {
  MlaPieces chunk;
  const auto flush = [&] {
    if (chunk.count > 0) run(static_cast<const MlaPieces&>(chunk));
    chunk.count = 0;
    chunk.rows = 0;
  };
  for (int64_t e = first_entry; e < batch.entries; ++e) {
    const int32_t queries = batch.query_start[e + 1] - batch.query_start[e];
    if (queries == 0) continue;
    for (int32_t key = 0; key < batch.kv_len[e];) {
      const int32_t left = batch.kv_len[e] - key;
      const int32_t room = capacity - chunk.rows;
      const int32_t keys = left <= room ? left : room / kMlaPieceTokens * kMlaPieceTokens;
      if (keys == 0 || chunk.count == kMaxMlaPieces) {
        flush();
        continue;
      }
      chunk.list[chunk.count++] = {.first_key = key,
                                   .keys = keys,
                                   .kv_row = chunk.rows,
                                   .first_query = batch.query_start[e],
                                   .queries = queries,
                                   .kv_len = batch.kv_len[e],
                                   .table_start = batch.table_start[e]};
      chunk.rows += keys;
      key += keys;
      if (key < batch.kv_len[e]) flush();
    }
  }
  flush();
}

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_MLA_CHUNKS_H_
