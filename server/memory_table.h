// The memory plan for whoever runs the server.
#ifndef QUIRE_SERVER_MEMORY_TABLE_H_
#define QUIRE_SERVER_MEMORY_TABLE_H_

#include <string>
#include <vector>

#include "engine/plan_memory.h"

namespace quire {

// A table, line by line, its numbers below each other:
//
//   memory           GiB
//     weights      15.26
//     activations   0.21
//     rope tables   0.02
//     workspace     0.40
//     KV cache     97.94  12536 blocks of 64 tokens: 802304 tokens
//     reserve       1.76
//     total       115.59  of 125.82 (--gpu-memory-fraction 0.90)
//
// in MiB below 1 GiB. Caches of several kinds of layers have lines of their own, which the first
// sums.
std::vector<std::string> FormatMemoryTable(const MemoryBudget& budget, const KvManagerConfig& kv);

}  // namespace quire

#endif  // QUIRE_SERVER_MEMORY_TABLE_H_
