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
  int64_t max_value_dim = 256;
  // Of encoders: the longest sequence, and the bytes of one token's keys and values in one layer
  // (Hkv (D + Dv) elements of act). 0: no Encode.
  int64_t encoder_tokens = 0;
  int64_t encoder_token_bytes = 0;
};

// `pool` and `memory` (host memory) outlive the attention; the CPU must have `isa`. Caches of 16,
// 32 or 64 tokens a page. One call at a time.
absl::StatusOr<std::unique_ptr<Attention>> MakeCpuAttention(ThreadPool& pool, DeviceMemory& memory,
                                                            CpuIsa isa,
                                                            const CpuAttentionLimits& limits);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_CPU_ATTENTION_H_
