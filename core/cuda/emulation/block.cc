#include "core/cuda/emulation/block.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/cuda/emulation/global_memory.h"

namespace quire::emulation {
namespace {

constexpr int kWarp = 32;
bool SameCollective(const Thread& a, const Thread& b) {
  return a.mask == b.mask && a.complete == b.complete && a.place == b.place;
}

constexpr char kPoison = '\xff';  // NaN in every type of floating-point numbers, -1 in integers

}  // namespace

std::string Describe(const Place& place) {
  const char* slash = std::strrchr(place.file, '/');
  return absl::StrCat(slash == nullptr ? place.file : slash + 1, ":", place.line);
}

void Block::Start(const LaunchShape& shape, GridShape index, bool detect_races, Ready ready,
                  void (*run)(void* thread)) {
  index_ = index;
  num_threads_ = shape.threads;
  left_ = 0;
  shared_bytes_ = static_cast<int64_t>(shape.shared_bytes);
  ready_ = ready;
  shared_.assign(shared_bytes_, kPoison);
  shadow_.Reset(shared_bytes_, num_threads_, detect_races);
  barriers_.fill(Barrier());
  for (int i = 0; i < num_threads_; ++i) {
    if (static_cast<size_t>(i) == threads_.size()) threads_.push_back(std::make_unique<Thread>());
    Thread& thread = *threads_[i];
    thread.block = this;
    thread.index = i;
    thread.copies.clear();
    thread.committed_groups = 0;
    thread.waits_for_earlier = shape.overlaps_earlier;
    thread.fibre.Start(run, &thread);
    MakeReady(thread);
  }
}

std::string Block::ArriveAtBarrier(Thread& thread, int id, int threads, bool wait, Place place) {
  Barrier& barrier = barriers_[id];
  if (id == 0 && left_ > 0) {
    return absl::StrCat("comes to the block barrier, but ", left_, " of ", num_threads_,
                        " threads have left the kernel");
  }
  if (barrier.arrived > 0) {
    if (id == 0 && !(barrier.place == place)) {
      return absl::StrCat("comes to this block barrier while ", DescribeWaiting());
    }
    if (barrier.expected != threads) {
      return absl::StrCat("comes to named barrier ", id, " for ", threads,
                          " threads, which others wait at for ", barrier.expected);
    }
  }
  barrier.expected = threads;
  barrier.place = place;
  ++barrier.arrived;
  if (id != 0) shadow_.Bring(thread.index, barrier.common);
  if (wait) {
    thread.state = Thread::State::kAtBarrier;
    thread.barrier = id;
    thread.place = place;
    barrier.waiting.push_back(thread.index);
  }
  if (barrier.arrived < barrier.expected) return {};
  if (id == 0) shadow_.MeetAll();
  for (int waiting : barrier.waiting) {
    if (id != 0) shadow_.Take(waiting, barrier.common);
    MakeReady(*threads_[waiting]);
  }
  barrier.arrived = 0;
  barrier.waiting.clear();
  barrier.common.clear();
  return {};
}

std::string Block::CheckPeers(Thread& thread) {
  for (int lane = 0; lane < kWarp; ++lane) {
    if (((thread.mask >> lane) & 1U) == 0) continue;
    const Thread& peer = Lane(thread, lane);
    if (peer.state == Thread::State::kLeft) {
      return absl::StrCat("calls ", thread.name, " with lane ", lane,
                          ", which has left the kernel");
    }
    // One that is in another collective may still come, unless it waits for this lane there.
    const bool waits_for_this = ((peer.mask >> (thread.index % kWarp)) & 1U) != 0;
    if (peer.state == Thread::State::kInCollective && waits_for_this &&
        !SameCollective(peer, thread)) {
      return absl::StrCat("calls ", thread.name, " with mask 0x", absl::Hex(thread.mask),
                          " while lane ", lane, " is in ", peer.name, " with mask 0x",
                          absl::Hex(peer.mask), " (", Describe(peer.place), ")");
    }
  }
  return {};
}

std::string Block::ArriveInCollective(Thread& thread, const char* name, uint32_t mask, void* frame,
                                      CompleteCollective complete, Place place) {
  const int own_lane = thread.index % kWarp;
  if (((mask >> own_lane) & 1U) == 0) {
    return absl::StrCat("calls ", name, " with mask 0x", absl::Hex(mask), ", which lacks its lane ",
                        own_lane);
  }
  thread.name = name;
  thread.mask = mask;
  thread.frame = frame;
  thread.complete = complete;
  thread.place = place;
  std::string fault = CheckPeers(thread);
  if (!fault.empty()) return fault;
  thread.state = Thread::State::kInCollective;

  void* frames[kWarp] = {};
  for (int lane = 0; lane < kWarp; ++lane) {
    if (((mask >> lane) & 1U) == 0) continue;
    const Thread& peer = Lane(thread, lane);
    if (peer.state != Thread::State::kInCollective || !SameCollective(peer, thread)) return {};
    frames[lane] = peer.frame;
  }
  fault = complete(frames, mask);
  for (int lane = 0; lane < kWarp; ++lane) {
    if (frames[lane] != nullptr) MakeReady(Lane(thread, lane));
  }
  return fault;
}

void Block::MeetLanes(const Thread& thread, uint32_t mask) {
  Knowledge common;
  for (int lane = 0; lane < kWarp; ++lane) {
    if (((mask >> lane) & 1U) != 0) shadow_.Bring(Lane(thread, lane).index, common);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    if (((mask >> lane) & 1U) != 0) shadow_.Take(Lane(thread, lane).index, common);
  }
}

std::string Block::Leave(Thread& thread) {
  thread.state = Thread::State::kLeft;
  ++left_;
  if (thread.waits_for_earlier) {
    return "leaves the kernel without a wait for those before it, which later ones rely on";
  }
  if (!thread.copies.empty()) {
    return "leaves the kernel with an asynchronous copy that it has not waited for";
  }
  if (barriers_[0].arrived > 0) {
    return absl::StrCat("leaves the kernel while ", DescribeWaiting());
  }
  const int own_lane = thread.index % kWarp;
  for (int lane = 0; lane < kWarp; ++lane) {
    const Thread& peer = Lane(thread, lane);
    if (peer.state == Thread::State::kInCollective && ((peer.mask >> own_lane) & 1U) != 0) {
      return absl::StrCat("leaves the kernel while lane ", lane, " waits for it in ", peer.name,
                          " (", Describe(peer.place), ")");
    }
  }
  return {};
}

std::string Block::CheckRange(int64_t offset, int bytes) const {
  if (offset >= 0 && offset + bytes <= shared_bytes_) return {};
  return absl::StrCat("touches ", bytes, " bytes at shared byte ", offset,
                      ", out of bounds: the block has ", shared_bytes_);
}

std::string Block::Read(const Thread& thread, int64_t offset, void* out, int bytes) {
  std::string fault = CheckRange(offset, bytes);
  if (fault.empty()) fault = shadow_.Read(thread.index, offset, bytes);
  if (fault.empty()) std::memcpy(out, shared() + offset, bytes);
  return fault;
}

std::string Block::Write(const Thread& thread, int64_t offset, const void* in, int bytes) {
  std::string fault = CheckRange(offset, bytes);
  if (fault.empty()) fault = shadow_.Write(thread.index, offset, bytes);
  if (fault.empty()) std::memcpy(shared() + offset, in, bytes);
  return fault;
}

std::string Block::BeginChange(const Thread& thread, int64_t offset, int bytes, void** at) {
  std::string fault = CheckRange(offset, bytes);
  if (fault.empty()) fault = shadow_.Write(thread.index, offset, bytes, /*atomic=*/true);
  if (fault.empty()) *at = shared() + offset;
  return fault;
}

std::string Block::BeginCopy(Thread& thread, const PendingCopy& copy) {
  std::string fault = CheckRange(copy.offset, copy.bytes);
  if (fault.empty() && copy.source_bytes > 0) {
    fault = GlobalRegion::Read(copy.source, copy.source_bytes);
  }
  if (fault.empty()) fault = shadow_.BeginCopy(thread.index, copy.offset, copy.bytes);
  if (!fault.empty()) return fault;
  std::memset(shared() + copy.offset, kPoison, copy.bytes);
  thread.copies.push_back(copy);
  return {};
}

void Block::LandCopies(Thread& thread, int pending) {
  size_t landed = 0;
  for (; landed < thread.copies.size(); ++landed) {
    const PendingCopy& copy = thread.copies[landed];
    if (copy.group >= thread.committed_groups - pending) break;
    std::memset(shared() + copy.offset, 0, copy.bytes);
    std::memcpy(shared() + copy.offset, copy.source, copy.source_bytes);
    shadow_.LandCopy(thread.index, copy.offset, copy.bytes);
  }
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<int64_t>(landed));
}

void Block::MakeReady(Thread& thread) {
  thread.state = Thread::State::kReady;
  ready_(thread);
}

std::string Block::DescribeWaiting() const {
  std::string text;
  const auto describe = [](const Thread& thread) -> std::string {
    switch (thread.state) {
      case Thread::State::kReady:
        return "";
      case Thread::State::kLeft:
        return "left the kernel";
      case Thread::State::kAtBarrier:
        return absl::StrCat(thread.barrier == 0
                                ? "wait at the block barrier"
                                : absl::StrCat("wait at named barrier ", thread.barrier),
                            " (", Describe(thread.place), ")");
      case Thread::State::kInCollective:
        return absl::StrCat("wait in ", thread.name, " (", Describe(thread.place), ")");
    }
    return "";
  };
  for (int first = 0, next = 0; first < num_threads_; first = next) {
    const std::string what = describe(*threads_[first]);
    for (next = first + 1; next < num_threads_ && describe(*threads_[next]) == what;) ++next;
    if (what.empty()) continue;
    absl::StrAppend(&text, text.empty() ? "" : "; ", next == first + 1 ? "thread " : "threads ",
                    first, next == first + 1 ? "" : absl::StrCat("-", next - 1), " ", what);
  }
  return text;
}

}  // namespace quire::emulation
