#include "core/cuda/emulation/shared_shadow.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace quire::emulation {

void SharedShadow::Reset(int64_t bytes, int threads, bool detect_races) {
  bytes_.assign(bytes, Byte());
  readers_.clear();
  free_readers_.clear();
  clocks_.assign(threads, 1);
  known_.clear();
  threads_ = threads;
  now_ = all_met_ = 1;
  detect_races_ = detect_races;
}

std::string SharedShadow::Read(int thread, int64_t begin, int64_t bytes) {
  for (int64_t at = begin; at < begin + bytes; ++at) {
    Byte& byte = bytes_[at];
    if (byte.state == State::kUnwritten) {
      return absl::StrCat("reads shared byte ", at, ", which nobody has written");
    }
    if (byte.state == State::kCopying) {
      return absl::StrCat("reads shared byte ", at, ", where an asynchronous copy of thread ",
                          byte.writer, " has not been waited for");
    }
    if (!detect_races_) continue;
    if (!Before(byte.writer, byte.write_clock, thread)) {
      return absl::StrCat("reads shared byte ", at, ", which thread ", byte.writer,
                          " wrote, with no barrier between them");
    }
    NoteRead(byte, thread);
  }
  return {};
}

std::string SharedShadow::Write(int thread, int64_t begin, int64_t bytes, bool atomic) {
  for (int64_t at = begin; at < begin + bytes; ++at) {
    Byte& byte = bytes_[at];
    if (byte.state == State::kCopying) {
      return absl::StrCat("writes shared byte ", at, ", where an asynchronous copy of thread ",
                          byte.writer, " has not been waited for");
    }
    if (atomic && byte.state == State::kUnwritten) {
      return absl::StrCat("changes shared byte ", at, ", which nobody has written");
    }
    std::string fault = CheckWrite(byte, thread, at, atomic);
    if (!fault.empty()) return fault;
    byte.state = State::kWritten;
  }
  return {};
}

std::string SharedShadow::BeginCopy(int thread, int64_t begin, int64_t bytes) {
  std::string fault = Write(thread, begin, bytes);
  if (!fault.empty()) return fault;
  for (int64_t at = begin; at < begin + bytes; ++at) bytes_[at].state = State::kCopying;
  return {};
}

void SharedShadow::LandCopy(int thread, int64_t begin, int64_t bytes) {
  for (int64_t at = begin; at < begin + bytes; ++at) {
    bytes_[at].state = State::kWritten;
    bytes_[at].write_clock = clocks_[thread];
  }
}

void SharedShadow::MeetAll() {
  all_met_ = ++now_;
  std::fill(clocks_.begin(), clocks_.end(), now_);
}

void SharedShadow::Bring(int thread, Knowledge& common) {
  common.resize(threads_);
  if (!known_.empty()) {
    const uint32_t* own = &known_[static_cast<size_t>(thread) * threads_];
    for (int i = 0; i < threads_; ++i) common[i] = std::max(common[i], own[i]);
  }
  common[thread] = std::max(common[thread], clocks_[thread]);
  // What it does from here on is not known by those that meet it here.
  clocks_[thread] = ++now_;
}

void SharedShadow::Take(int thread, const Knowledge& common) {
  if (known_.empty()) known_.assign(static_cast<size_t>(threads_) * threads_, 0);
  uint32_t* own = &known_[static_cast<size_t>(thread) * threads_];
  for (int i = 0; i < threads_; ++i) own[i] = std::max(own[i], common[i]);
}

void SharedShadow::NoteRead(Byte& byte, int thread) {
  const uint32_t clock = clocks_[thread];
  if (byte.readers >= 0) {
    readers_[byte.readers][thread] = clock;
    return;
  }
  if (byte.read_clock != 0 && !Before(byte.reader, byte.read_clock, thread)) {
    if (free_readers_.empty()) {
      free_readers_.push_back(static_cast<int32_t>(readers_.size()));
      readers_.emplace_back();
    }
    byte.readers = free_readers_.back();
    free_readers_.pop_back();
    readers_[byte.readers].assign(threads_, 0);
    readers_[byte.readers][byte.reader] = byte.read_clock;
    readers_[byte.readers][thread] = clock;
    return;
  }
  byte.reader = static_cast<uint16_t>(thread);
  byte.read_clock = clock;
}

int SharedShadow::UnorderedReader(const Byte& byte, int thread) const {
  if (byte.readers < 0) {
    const bool ordered = byte.read_clock == 0 || Before(byte.reader, byte.read_clock, thread);
    return ordered ? -1 : byte.reader;
  }
  const std::vector<uint32_t>& clocks = readers_[byte.readers];
  for (int other = 0; other < threads_; ++other) {
    if (clocks[other] != 0 && !Before(other, clocks[other], thread)) return other;
  }
  return -1;
}

std::string SharedShadow::CheckWrite(Byte& byte, int thread, int64_t at, bool atomic) {
  if (!detect_races_) return {};
  const bool both_atomic = atomic && byte.atomic;
  if (byte.write_clock != 0 && !both_atomic && !Before(byte.writer, byte.write_clock, thread)) {
    return absl::StrCat("writes shared byte ", at, ", which thread ", byte.writer,
                        " wrote, with no barrier between them");
  }
  const int reader = UnorderedReader(byte, thread);
  if (reader >= 0) {
    return absl::StrCat("writes shared byte ", at, ", which thread ", reader,
                        " read, with no barrier between them");
  }
  if (byte.readers >= 0) free_readers_.push_back(byte.readers);
  byte.readers = -1;
  byte.read_clock = 0;
  byte.writer = static_cast<uint16_t>(thread);
  byte.write_clock = clocks_[thread];
  byte.atomic = atomic;
  return {};
}

}  // namespace quire::emulation
