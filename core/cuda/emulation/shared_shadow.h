// What is known of each byte of an emulated block's shared memory: whether it has been written, and
// which threads touched it when, so that two accesses without order between them are found.
//
// Order is that of vector clocks (Flanagan & Freund, FastTrack, 2009). A thread's clock is the
// number of the last barrier that it took part in, counted over the block. An access that a thread
// stamped with clock c lies before thread t's present if c is older than the last barrier of the
// whole block, or if t has since met that thread at a named or a warp barrier (directly or through
// others).
#ifndef QUIRE_CORE_CUDA_EMULATION_SHARED_SHADOW_H_
#define QUIRE_CORE_CUDA_EMULATION_SHARED_SHADOW_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quire::emulation {

// What threads that come to a barrier of some of the block's threads know together.
using Knowledge = std::vector<uint32_t>;  // [threads], the clocks known of each thread

class SharedShadow {
 public:
  // `bytes` that nobody has written yet, and `threads` that have nothing in common yet.
  void Reset(int64_t bytes, int threads, bool detect_races);

  // An access by `thread`; what is wrong with it, or nothing. An atomic access is no race with
  // another one.
  std::string Read(int thread, int64_t begin, int64_t bytes);
  std::string Write(int thread, int64_t begin, int64_t bytes, bool atomic = false);
  // An asynchronous copy of `thread` that has begun: the bytes are nobody's until it lands.
  std::string BeginCopy(int thread, int64_t begin, int64_t bytes);
  void LandCopy(int thread, int64_t begin, int64_t bytes);

  // All threads have met.
  void MeetAll();
  // A barrier of some: each of them brings what it knows, and those that wait take what all knew.
  void Bring(int thread, Knowledge& common);
  void Take(int thread, const Knowledge& common);

 private:
  enum class State : uint8_t { kUnwritten, kWritten, kCopying };
  struct Byte {
    uint32_t write_clock = 0;  // 0: never
    uint32_t read_clock = 0;
    int32_t readers = -1;  // index of readers_, where several read without order
    uint16_t writer = 0;
    uint16_t reader = 0;
    State state = State::kUnwritten;
    bool atomic = false;  // the last write
  };

  bool Before(int other, uint32_t clock, int thread) const {
    return other == thread || clock < all_met_ ||
           (!known_.empty() && known_[static_cast<size_t>(thread) * threads_ + other] >= clock);
  }
  void NoteRead(Byte& byte, int thread);
  // A reader without order to `thread`'s present, or -1.
  int UnorderedReader(const Byte& byte, int thread) const;
  std::string CheckWrite(Byte& byte, int thread, int64_t at, bool atomic);

  std::vector<Byte> bytes_;
  std::vector<std::vector<uint32_t>> readers_;  // [threads] clocks each
  std::vector<int32_t> free_readers_;
  std::vector<uint32_t> clocks_;  // [threads]
  std::vector<uint32_t> known_;   // [threads, threads], made by the first barrier of some
  int threads_ = 0;
  uint32_t now_ = 1;      // the number of barriers so far
  uint32_t all_met_ = 1;  // the last one of all threads
  bool detect_races_ = true;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_SHARED_SHADOW_H_
