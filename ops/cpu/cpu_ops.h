// The CPU backend of ops.h.
#ifndef QUIRE_OPS_CPU_CPU_OPS_H_
#define QUIRE_OPS_CPU_CPU_OPS_H_

#include <cstdint>
#include <memory>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "ops/ops.h"
#include "ops/weight_sizer.h"

namespace quire {

struct CpuOpsOptions {
  // The most rows of an Apply: the tokens of a batch. Scratch memory grows with it.
  int64_t max_rows = 512;
  // Whether oneDNN may take tall products. It changes no bit.
  bool use_onednn = true;
};

// `pool` and `memory` (host memory) outlive the ops; the CPU must have `isa`. One call at a time.
std::unique_ptr<Ops> MakeCpuOps(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                const CpuOpsOptions& options);

// Of such ops.
std::unique_ptr<WeightSizer> MakeCpuWeightSizer(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                                const CpuOpsOptions& options);

}  // namespace quire

#endif  // QUIRE_OPS_CPU_CPU_OPS_H_
