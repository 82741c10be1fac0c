// How ops on rows are shared among the threads.
#ifndef QUIRE_OPS_CPU_ROW_TASKS_H_
#define QUIRE_OPS_CPU_ROW_TASKS_H_

#include <algorithm>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/ceil_div.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"

namespace quire {

// Elements of row ops that one task takes: long against a fork of some microseconds.
inline constexpr int64_t kTaskElements = 16384;

// Calls body(begin, end) for ranges that cover [0, rows); `row_cost` is in elements of a simple
// op. Few rows run on the caller alone.
inline void ForRows(ThreadPool& pool, int64_t rows, int64_t row_cost,
                    absl::FunctionRef<void(int64_t, int64_t)> body) {
  const int64_t per_task = std::max<int64_t>(1, kTaskElements / row_cost);
  pool.ParallelFor(CeilDiv(rows, per_task), [&](int64_t task, int /*thread*/) {
    body(task * per_task, std::min(rows, (task + 1) * per_task));
  });
}

inline char* RowData(const DeviceMatrix& m, int64_t row) {
  return static_cast<char*>(m.data) +
         row * m.row_stride * static_cast<int64_t>(DTypeBytes(m.dtype));
}

}  // namespace quire

#endif  // QUIRE_OPS_CPU_ROW_TASKS_H_
