// What the primitives of core/cuda/primitives are made of where g++ compiles a kernel: calls from
// an emulated thread into the block that it is part of. Whatever is wrong ends the launch with a
// message that names kernel, block, thread and place; such a call does not return.
#ifndef QUIRE_CORE_CUDA_EMULATION_RUNTIME_H_
#define QUIRE_CORE_CUDA_EMULATION_RUNTIME_H_

#include <cstdint>
#include <string>

#include "core/cuda/emulation/place.h"
#include "core/cuda/launch_shape.h"

namespace quire::emulation {

[[noreturn]] void Fail(std::string&& what, Place place);

int ThreadIndex();
int BlockThreads();
GridShape BlockIndex();
GridShape GridSize();

// Barriers. The block's own is number 0.
void BlockBarrier(Place place);
void NamedBarrier(int id, int threads, bool wait, Place place);
void WarpBarrier(uint32_t mask, Place place);

// Waits until all lanes of `mask` have called it with the same `complete` from the same place; then
// complete(frames, mask) makes all their results from all their operands. `frames` has 32 pointers,
// of the lanes in `mask` to what they passed as `frame`. What it returns is a fault, or empty.
using CompleteCollective = std::string (*)(void* const* frames, uint32_t mask);
void WarpCollective(const char* name, uint32_t mask, void* frame, CompleteCollective complete,
                    Place place);

// Shared memory. Addresses are byte offsets; [0, SharedBytes()) exists.
int64_t SharedBytes();
void ReadShared(int64_t offset, void* out, int bytes, Place place);
void WriteShared(int64_t offset, const void* in, int bytes, Place place);
// An atomic change of it: change(the bytes there, context).
void ChangeShared(int64_t offset, int bytes, void (*change)(void* at, void* context), void* context,
                  Place place);

// Global memory. A thread of a launch that overlaps earlier ones waits for them before it touches
// what kernels write, and before it leaves: a later kernel that waits for this one takes it that
// they are done.
void WaitForEarlierKernels();
void ReadGlobal(const void* address, void* out, int bytes, Place place);
void WriteGlobal(void* address, const void* in, int bytes, Place place);
// Lets other threads go on: what waits for global memory to change calls it.
void Yield();

// Asynchronous copies: `bytes` at `offset` become `source_bytes` of `source` and zeros behind them
// when their group has been waited for; until then they are poison.
void CopyAsync(int64_t offset, const void* source, int bytes, int source_bytes, Place place);
void CommitCopies();
// All groups but the last `pending` land.
void WaitForCopies(int pending);

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_RUNTIME_H_
