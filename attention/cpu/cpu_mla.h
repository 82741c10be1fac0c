// The CPU backend of mla.h.
#ifndef QUIRE_ATTENTION_CPU_CPU_MLA_H_
#define QUIRE_ATTENTION_CPU_CPU_MLA_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "attention/mla.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"

namespace quire {

// Bytes that MakeCpuMla takes, with `threads` of the pool.
int64_t CpuMlaBytes(const MlaLimits& limits, int threads, CpuIsa isa);

// `pool` and `memory` (host memory) outlive it; the CPU must have `isa`. Caches of 16, 32 or 64
// tokens a page. One call at a time; `expand` of a Prefill may use the pool.
absl::StatusOr<std::unique_ptr<Mla>> MakeCpuMla(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                                const MlaLimits& limits);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_CPU_MLA_H_
