// The CPU backend of attention.h.
#ifndef QUIRE_ATTENTION_CPU_CPU_ATTENTION_H_
#define QUIRE_ATTENTION_CPU_CPU_ATTENTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "attention/attention.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"

namespace quire {

// What scratch memory is made for. More is CHECKed.
struct CpuAttentionLimits {
  int64_t max_entries = 512;  // S of a batch: no more than its tokens
  int64_t max_head_dim = 256;
};

// `pool` and `memory` (host memory) outlive the attention; the CPU must have `isa`. Caches of 16,
// 32 or 64 tokens a page. One call at a time.
absl::StatusOr<std::unique_ptr<Attention>> MakeCpuAttention(ThreadPool& pool, DeviceMemory& memory,
                                                            CpuIsa isa,
                                                            const CpuAttentionLimits& limits);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_CPU_ATTENTION_H_
