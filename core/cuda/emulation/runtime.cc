#include "core/cuda/emulation/runtime.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/cuda/emulation/block.h"
#include "core/cuda/emulation/global_memory.h"
#include "core/cuda/emulation/launcher.h"

namespace quire::emulation {
namespace {

// Threads that can go on: first in, first out, or at random.
class ReadyThreads {
 public:
  void Reset(uint32_t seed) {
    threads_.clear();
    first_ = 0;
    is_random_ = seed != 0;
    random_.seed(seed);
  }
  bool empty() const { return first_ == threads_.size(); }
  void Push(Thread& thread) { threads_.push_back(&thread); }
  Thread& Pop() {
    if (is_random_) {
      std::swap(threads_[first_], threads_[first_ + random_() % (threads_.size() - first_)]);
    }
    Thread& thread = *threads_[first_++];
    if (first_ == threads_.size()) {
      threads_.clear();
      first_ = 0;
    }
    return thread;
  }
  std::mt19937& random() { return random_; }

 private:
  std::vector<Thread*> threads_;
  size_t first_ = 0;
  bool is_random_ = false;
  std::mt19937 random_;
};

// The launch under way. Blocks, and with them stacks, are kept from launch to launch.
struct Run {
  bool is_running = false;
  LaunchShape shape;
  const absl::FunctionRef<void()>* body = nullptr;
  ReadyThreads ready;
  std::vector<std::unique_ptr<Block>> blocks;
  Thread* thread = nullptr;  // the one that runs
  std::string fault;
};

Run& TheRun() {
  static auto* run = new Run;
  return *run;
}

Thread& Self() {
  Thread* thread = TheRun().thread;
  QUIRE_CHECK(thread != nullptr) << "a CUDA primitive was called outside a launch";
  return *thread;
}

std::string DescribeIndex(const GridShape& index) {
  return absl::StrCat("(", index.x, ",", index.y, ",", index.z, ")");
}

void FailIf(std::string&& fault, Place place) {
  if (!fault.empty()) Fail(std::move(fault), place);
}

void RunThread(void* argument) {
  auto* self = static_cast<Thread*>(argument);
  (*TheRun().body)();
  FailIf(self->block->Leave(*self), {});
  self->fibre.Suspend();
}

void CheckAligned(const void* address, int bytes, Place place) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    Fail(absl::StrCat("touches ", bytes, " bytes at global address 0x",
                      absl::Hex(reinterpret_cast<uintptr_t>(address)), ", which is not aligned"),
         place);
  }
}

void CheckAligned(int64_t offset, int bytes, Place place) {
  if (offset % bytes != 0) {
    Fail(
        absl::StrCat("touches ", bytes, " bytes at shared byte ", offset, ", which is not aligned"),
        place);
  }
}

// The blocks of a grid in the order in which they begin.
class BlockOrder {
 public:
  BlockOrder(const GridShape& grid, bool shuffle, std::mt19937& random) : grid_(grid) {
    order_.resize(grid.x * grid.y * grid.z);
    for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<int64_t>(i);
    if (shuffle) std::shuffle(order_.begin(), order_.end(), random);
  }
  bool empty() const { return next_ == order_.size(); }
  GridShape Next() {
    const int64_t i = order_[next_++];
    return {i % grid_.x, i / grid_.x % grid_.y, i / (grid_.x * grid_.y)};
  }

 private:
  GridShape grid_;
  std::vector<int64_t> order_;
  size_t next_ = 0;
};

void RunBlocks(Run& run, const EmulationOptions& options) {
  const auto start = [&](Block& block, GridShape index) {
    block.Start(
        run.shape, index, options.detect_races, [](Thread& thread) { TheRun().ready.Push(thread); },
        &RunThread);
  };
  BlockOrder order(run.shape.grid, options.seed != 0, run.ready.random());
  for (int i = 0; i < options.resident_blocks && !order.empty(); ++i) {
    if (static_cast<size_t>(i) == run.blocks.size())
      run.blocks.push_back(std::make_unique<Block>());
    start(*run.blocks[i], order.Next());
  }
  while (!run.ready.empty()) {
    run.thread = &run.ready.Pop();
    run.thread->fibre.Resume();
    if (!run.fault.empty()) return;
    Block& block = *run.thread->block;
    if (block.is_done() && !order.empty()) start(block, order.Next());
  }
  for (const auto& block : run.blocks) {
    if (!block->is_done()) {
      run.fault = absl::StrCat("kernel ", run.shape.name, ", block ", DescribeIndex(block->index()),
                               " cannot go on: ", block->DescribeWaiting());
      return;
    }
  }
}

}  // namespace

absl::Status RunGrid(const LaunchShape& shape, const EmulationOptions& options,
                     absl::FunctionRef<void()> thread_body) {
  const auto refuse = [&](const std::string& what) {
    return absl::InternalError(absl::StrCat("kernel ", shape.name, " cannot be launched: ", what));
  };
  if (shape.threads < 32 || shape.threads > kMaxBlockThreads || shape.threads % 32 != 0) {
    return refuse(absl::StrCat(shape.threads, " threads a block"));
  }
  if (shape.shared_bytes > options.max_shared_bytes) {
    return refuse(
        absl::StrCat(shape.shared_bytes, " bytes of shared memory, of ", options.max_shared_bytes));
  }
  const GridShape& grid = shape.grid;
  if (grid.x < 0 || grid.x > INT32_MAX || grid.y < 0 || grid.y > kMaxGridYZ || grid.z < 0 ||
      grid.z > kMaxGridYZ) {
    return refuse(absl::StrCat("a grid of ", DescribeIndex(grid)));
  }
  Run& run = TheRun();
  QUIRE_CHECK(!run.is_running);
  run.is_running = true;
  run.shape = shape;
  run.body = &thread_body;
  run.ready.Reset(options.seed);
  run.fault.clear();
  RunBlocks(run, options);
  run.is_running = false;
  run.thread = nullptr;
  run.body = nullptr;
  // Blocks of a launch that failed stay unfinished; the next one must not take them for its own.
  if (!run.fault.empty()) run.blocks.clear();
  return run.fault.empty() ? absl::OkStatus() : absl::InternalError(run.fault);
}

void Fail(std::string&& what, Place place) {
  Thread& self = Self();
  Run& run = TheRun();
  run.fault = absl::StrCat("kernel ", run.shape.name, ", block ",
                           DescribeIndex(self.block->index()), ", thread ", self.index, " (warp ",
                           self.index / 32, ", lane ", self.index % 32, ") ", what);
  if (place.line != 0) absl::StrAppend(&run.fault, " [", Describe(place), "]");
  std::string().swap(what);  // the stack that it is on is forgotten
  self.fibre.Suspend();
  QUIRE_CHECK(false) << "an emulated thread was resumed after a fault";
  __builtin_unreachable();
}

int ThreadIndex() { return Self().index; }
int BlockThreads() { return Self().block->num_threads(); }
GridShape BlockIndex() { return Self().block->index(); }
GridShape GridSize() { return TheRun().shape.grid; }

void BlockBarrier(Place place) {
  Thread& self = Self();
  FailIf(self.block->ArriveAtBarrier(self, 0, self.block->num_threads(), /*wait=*/true, place),
         place);
  self.fibre.Suspend();
}

void NamedBarrier(int id, int threads, bool wait, Place place) {
  Thread& self = Self();
  if (id < 1 || id > 15) Fail(absl::StrCat("names barrier ", id, "; there are 1 to 15"), place);
  if (threads < 32 || threads % 32 != 0 || threads > self.block->num_threads()) {
    Fail(absl::StrCat("comes to named barrier ", id, " for ", threads, " of the block's ",
                      self.block->num_threads(), " threads; whole warps can"),
         place);
  }
  FailIf(self.block->ArriveAtBarrier(self, id, threads, wait, place), place);
  if (wait) self.fibre.Suspend();
}

void WarpBarrier(uint32_t mask, Place place) {
  WarpCollective(
      "a warp barrier", mask, &mask,
      [](void* const*, uint32_t lanes) {
        const Thread& last = Self();
        last.block->MeetLanes(last, lanes);
        return std::string();
      },
      place);
}

void WarpCollective(const char* name, uint32_t mask, void* frame, CompleteCollective complete,
                    Place place) {
  Thread& self = Self();
  FailIf(self.block->ArriveInCollective(self, name, mask, frame, complete, place), place);
  self.fibre.Suspend();
}

int64_t SharedBytes() { return Self().block->shared_bytes(); }

void ReadShared(int64_t offset, void* out, int bytes, Place place) {
  CheckAligned(offset, bytes, place);
  const Thread& self = Self();
  FailIf(self.block->Read(self, offset, out, bytes), place);
}

void WriteShared(int64_t offset, const void* in, int bytes, Place place) {
  CheckAligned(offset, bytes, place);
  const Thread& self = Self();
  FailIf(self.block->Write(self, offset, in, bytes), place);
}

void ChangeShared(int64_t offset, int bytes, void (*change)(void* at, void* context), void* context,
                  Place place) {
  CheckAligned(offset, bytes, place);
  const Thread& self = Self();
  void* at = nullptr;
  FailIf(self.block->BeginChange(self, offset, bytes, &at), place);
  change(at, context);
}

void WaitForEarlierKernels() { Self().waits_for_earlier = false; }

namespace {

// What no kernel writes to (weights) may be read earlier.
void CheckWaited(const Thread& self, const void* read, Place place) {
  if (self.waits_for_earlier && GlobalRegion::IsOfKernels(read)) {
    Fail("reads what kernels write before it has waited for those that it overlaps", place);
  }
}

}  // namespace

void ReadGlobal(const void* address, void* out, int bytes, Place place) {
  CheckAligned(address, bytes, place);
  CheckWaited(Self(), address, place);
  FailIf(GlobalRegion::Read(address, bytes), place);
  std::memcpy(out, address, bytes);
}

void WriteGlobal(void* address, const void* in, int bytes, Place place) {
  CheckAligned(address, bytes, place);
  if (Self().waits_for_earlier) {
    Fail("writes before it has waited for the kernels that it overlaps", place);
  }
  FailIf(GlobalRegion::Write(address, bytes), place);
  GlobalRegion::NoteKernelWrite(address);
  std::memcpy(address, in, bytes);
}

void Yield() {
  Thread& self = Self();
  TheRun().ready.Push(self);
  self.fibre.Suspend();
}

void CopyAsync(int64_t offset, const void* source, int bytes, int source_bytes, Place place) {
  CheckAligned(offset, bytes, place);
  CheckAligned(source, bytes, place);
  if (source_bytes < 0 || source_bytes > bytes) {
    Fail(absl::StrCat("copies ", source_bytes, " bytes into ", bytes), place);
  }
  Thread& self = Self();
  if (source_bytes > 0) CheckWaited(self, source, place);
  FailIf(self.block->BeginCopy(self, {offset, source, bytes, source_bytes, self.committed_groups}),
         place);
}

void CommitCopies() { ++Self().committed_groups; }

void WaitForCopies(int pending) {
  Thread& self = Self();
  self.block->LandCopies(self, pending);
}

}  // namespace quire::emulation
