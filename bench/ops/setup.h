// What every CPU benchmark stands on.
#ifndef QUIRE_BENCH_OPS_SETUP_H_
#define QUIRE_BENCH_OPS_SETUP_H_

#include <cstdint>

#include "bench/ops/ceilings.h"
#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/dtype.h"

namespace quire::bench {

struct SetupFlags {
  CpuIsa isa;
  int threads;
};

// --isa=auto|portable|avx2|avx512|avx512_bf16 and --threads=N (all cores); ends the program at any
// other. Both go into the benchmark's context.
SetupFlags ParseSetupFlags(int argc, char** argv);

// Numbers in [-1, 1), always the same.
void FillRandom(void* data, DType dtype, int64_t count);

struct Setup {
  explicit Setup(const SetupFlags& flags) : isa(flags.isa), pool(flags.threads) {}

  CpuIsa isa;
  ThreadPool pool;
  HostMemory memory{pool};
  Ceilings ceilings{pool, memory};
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_OPS_SETUP_H_
