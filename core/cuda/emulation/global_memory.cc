#include "core/cuda/emulation/global_memory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/check.h"

namespace quire::emulation {
namespace {

// By their first address. Emulated kernels run on one thread, and so does what they work on.
std::map<const char*, GlobalRegion*>& Regions() {
  static auto* regions = new std::map<const char*, GlobalRegion*>;
  return *regions;
}

GlobalRegion* last_region = nullptr;  // most accesses are to the same one as the one before

}  // namespace

GlobalRegion::GlobalRegion(std::string name, void* data, int64_t bytes, ByteState state)
    : name_(std::move(name)), data_(static_cast<char*>(data)), states_(bytes, state) {
  QUIRE_CHECK(Regions().emplace(data_, this).second) << name_;
}

GlobalRegion::~GlobalRegion() {
  Regions().erase(data_);
  if (last_region == this) last_region = nullptr;
}

void GlobalRegion::Mark(int64_t begin, int64_t bytes, ByteState state) {
  std::fill_n(states_.begin() + begin, bytes, state);
}

bool GlobalRegion::IsWritten(int64_t begin, int64_t bytes) const {
  return std::all_of(states_.begin() + begin, states_.begin() + begin + bytes,
                     [](ByteState state) { return state == ByteState::kWritten; });
}

std::string GlobalRegion::Read(const void* address, int64_t bytes) {
  std::string fault;
  const GlobalRegion* region = Containing(address, bytes, &fault);
  if (region == nullptr) return fault;
  const ByteState* state = &region->states_[static_cast<const char*>(address) - region->data_];
  for (int64_t i = 0; i < bytes; ++i) {
    if (state[i] == ByteState::kWritten) continue;
    return absl::StrCat(
        "reads ", region->At(address), ", ",
        state[i] == ByteState::kUnwritten ? "which nobody has written" : "which is out of bounds");
  }
  return {};
}

std::string GlobalRegion::Write(const void* address, int64_t bytes) {
  std::string fault;
  GlobalRegion* region = Containing(address, bytes, &fault);
  if (region == nullptr) return fault;
  ByteState* state = &region->states_[static_cast<const char*>(address) - region->data_];
  for (int64_t i = 0; i < bytes; ++i) {
    if (state[i] == ByteState::kForbidden) {
      return absl::StrCat("writes ", region->At(address), ", which is out of bounds");
    }
    state[i] = ByteState::kWritten;
  }
  return {};
}

bool GlobalRegion::IsOfKernels(const void* address) {
  std::string fault;
  const GlobalRegion* region = Containing(address, 1, &fault);
  return region != nullptr && region->is_of_kernels_;
}

void GlobalRegion::NoteKernelWrite(const void* address) {
  std::string fault;
  if (GlobalRegion* region = Containing(address, 1, &fault)) region->is_of_kernels_ = true;
}

GlobalRegion* GlobalRegion::Containing(const void* address, int64_t bytes, std::string* fault) {
  const auto* begin = static_cast<const char*>(address);
  const auto holds = [&](const GlobalRegion* region) {
    return region->data_ <= begin &&
           begin + bytes <= region->data_ + static_cast<int64_t>(region->states_.size());
  };
  if (last_region != nullptr && holds(last_region)) return last_region;
  auto next = Regions().upper_bound(begin);
  if (next == Regions().begin()) {
    *fault = "touches global memory out of bounds, below all that was given to the kernel";
    return nullptr;
  }
  GlobalRegion* region = std::prev(next)->second;
  if (holds(region)) return last_region = region;
  *fault = absl::StrCat("touches global memory out of bounds: ", region->At(address),
                        ", which has ", region->states_.size(), " bytes");
  return nullptr;
}

std::string GlobalRegion::At(const void* address) const {
  return absl::StrCat("byte ", static_cast<const char*>(address) - data_, " of '", name_, "'");
}

}  // namespace quire::emulation
