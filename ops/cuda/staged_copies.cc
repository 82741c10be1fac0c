#include "ops/cuda/staged_copies.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

absl::Status StagedCopies::MakeBuffers(size_t bytes) {
  Finish();
  for (Buffer& buffer : buffers_) {
    QUIRE_ASSIGN_OR_RETURN(buffer.memory, queue_.MakeStaging(bytes));
    buffer.sent = queue_.SetMark();
  }
  return absl::OkStatus();
}

void StagedCopies::Turn() {
  buffers_[current_].sent = queue_.SetMark();
  current_ = 1 - current_;
  queue_.Await(buffers_[current_].sent);
  used_ = 0;
}

absl::StatusOr<StagedCopies::Room> StagedCopies::Take(size_t piece_bytes, int64_t count) {
  QUIRE_CHECK(piece_bytes > 0 && count > 0) << piece_bytes << " " << count;
  // The second buffer may be what was not to be had the last time.
  if (piece_bytes > capacity() || buffers_[1].memory.data() == nullptr) {
    QUIRE_RETURN_IF_ERROR(MakeBuffers(std::max(piece_bytes, least_bytes_)));
  }
  used_ = (used_ + kAlignment - 1) / kAlignment * kAlignment;
  if (used_ + piece_bytes > capacity()) Turn();
  const auto fit = static_cast<int64_t>((capacity() - used_) / piece_bytes);
  piece_bytes_ = piece_bytes;
  return Room{static_cast<char*>(buffers_[current_].memory.data()) + used_, std::min(fit, count)};
}

void StagedCopies::Send(void* device, const Room& room) {
  const size_t bytes = piece_bytes_ * static_cast<size_t>(room.count);
  queue_.CopyToDevice(device, room.data, bytes);
  used_ += bytes;
}

absl::Status StagedCopies::Copy(void* device, const void* host, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    QUIRE_ASSIGN_OR_RETURN(const Room room, Take(1, static_cast<int64_t>(bytes - done)));
    std::memcpy(room.data, static_cast<const char*>(host) + done, room.count);
    Send(static_cast<char*>(device) + done, room);
    done += room.count;
  }
  return absl::OkStatus();
}

void StagedCopies::Finish() {
  if (buffers_[0].memory.data() == nullptr) return;
  queue_.Wait();
  for (Buffer& buffer : buffers_) buffer = Buffer();
  current_ = 0;
  used_ = 0;
}

}  // namespace quire
