#include "engine/cuda/weight_memory.h"

#include <utility>

#include "core/allocation_bytes.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr absl::string_view kPurpose = "weights";

}  // namespace

absl::Status WeightMemory::Reserve(size_t bytes) {
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer piece, memory_.Allocate(bytes, kPurpose));
  piece_ = std::make_shared<DeviceBuffer>(std::move(piece));
  used_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<DeviceBuffer> WeightMemory::Allocate(size_t bytes, absl::string_view purpose) {
  if (bytes == 0) return DeviceBuffer();
  if (piece_ == nullptr || purpose != kPurpose ||
      AllocationBytes(bytes) > piece_->bytes() - used_) {
    return memory_.Allocate(bytes, purpose);
  }
  char* const data = static_cast<char*>(piece_->data()) + used_;
  used_ += AllocationBytes(bytes);
  return DeviceBuffer(data, bytes, [held = piece_](void* /*data*/, size_t /*bytes*/) {});
}

}  // namespace quire
