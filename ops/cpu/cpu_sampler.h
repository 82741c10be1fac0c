// The CPU backend of sampler.h.
#ifndef QUIRE_OPS_CPU_CPU_SAMPLER_H_
#define QUIRE_OPS_CPU_CPU_SAMPLER_H_

#include <cstdint>
#include <memory>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "ops/sampler.h"

namespace quire {

// A row is one task of `pool`, which outlives the sampler. One call at a time.
std::unique_ptr<Sampler> MakeCpuSampler(ThreadPool& pool, CpuIsa isa, int64_t vocab_size);

}  // namespace quire

#endif  // QUIRE_OPS_CPU_CPU_SAMPLER_H_
