// One emulated block: its threads, its shared memory and its barriers. Calls by threads come
// through core/cuda/emulation/runtime.h.
#ifndef QUIRE_CORE_CUDA_EMULATION_BLOCK_H_
#define QUIRE_CORE_CUDA_EMULATION_BLOCK_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/cuda/emulation/fibre.h"
#include "core/cuda/emulation/runtime.h"
#include "core/cuda/emulation/shared_shadow.h"

namespace quire::emulation {

class Block;

// A piece of an asynchronous copy's life.
struct PendingCopy {
  int64_t offset;
  const void* source;
  int bytes;
  int source_bytes;
  int64_t group;
};

struct Thread {
  enum class State : uint8_t { kReady, kAtBarrier, kInCollective, kLeft };

  Block* block = nullptr;
  int index = 0;
  State state = State::kReady;
  Place place;            // where it waits
  int barrier = 0;        // of kAtBarrier
  const char* name = "";  // of kInCollective, as all below
  uint32_t mask = 0;
  void* frame = nullptr;
  CompleteCollective complete = nullptr;
  std::vector<PendingCopy> copies;  // oldest first
  int64_t committed_groups = 0;
  bool waits_for_earlier = false;  // kernels, before it may touch global memory
  Fibre fibre;
};

class Block {
 public:
  // Calls `ready` with each thread that can go on.
  using Ready = void (*)(Thread& thread);

  // Begins as block `index`, its memory poisoned. `run` is what each thread's fibre does.
  void Start(const LaunchShape& shape, GridShape index, bool detect_races, Ready ready,
             void (*run)(void* thread));

  const GridShape& index() const { return index_; }
  int num_threads() const { return num_threads_; }
  bool is_done() const { return left_ == num_threads_; }
  int64_t shared_bytes() const { return shared_bytes_; }

  // All of these: what is wrong, or nothing. After a barrier or a collective the caller must
  // suspend itself while its state is not kReady.
  std::string ArriveAtBarrier(Thread& thread, int id, int threads, bool wait, Place place);
  std::string ArriveInCollective(Thread& thread, const char* name, uint32_t mask, void* frame,
                                 CompleteCollective complete, Place place);
  std::string Leave(Thread& thread);

  std::string Read(const Thread& thread, int64_t offset, void* out, int bytes);
  std::string Write(const Thread& thread, int64_t offset, const void* in, int bytes);
  // Makes the bytes at `offset` ready to be changed in place, atomically.
  std::string BeginChange(const Thread& thread, int64_t offset, int bytes, void** at);
  std::string BeginCopy(Thread& thread, const PendingCopy& copy);
  void LandCopies(Thread& thread, int pending);

  // Makes known to each other what the lanes of `mask` in the thread's warp did before.
  void MeetLanes(const Thread& thread, uint32_t mask);

  // "threads 0-31 wait at the block barrier (norm.cuh:57); thread 32 ..."
  std::string DescribeWaiting() const;

 private:
  struct Barrier {
    int arrived = 0;
    int expected = 0;
    Place place;
    Knowledge common;
    std::vector<int> waiting;
  };

  std::string CheckRange(int64_t offset, int bytes) const;
  Thread& Lane(const Thread& thread, int lane) { return *threads_[thread.index / 32 * 32 + lane]; }
  void MakeReady(Thread& thread);
  std::string CheckPeers(Thread& thread);
  char* shared() { return shared_.data(); }

  GridShape index_;
  int num_threads_ = 0;
  int left_ = 0;
  int64_t shared_bytes_ = 0;
  Ready ready_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;  // as many as the largest block so far had
  std::vector<char> shared_;
  SharedShadow shadow_;
  std::array<Barrier, 16> barriers_;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_BLOCK_H_
