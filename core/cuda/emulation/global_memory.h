// What emulated kernels may touch of the machine's memory. Nothing else is global memory to them.
#ifndef QUIRE_CORE_CUDA_EMULATION_GLOBAL_MEMORY_H_
#define QUIRE_CORE_CUDA_EMULATION_GLOBAL_MEMORY_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace quire::emulation {

// A piece of host memory that kernels see as global memory, from construction to destruction.
class GlobalRegion {
 public:
  enum class ByteState : uint8_t { kForbidden, kUnwritten, kWritten };

  // `data` is borrowed. Its bytes are in `state`.
  GlobalRegion(std::string name, void* data, int64_t bytes, ByteState state);
  ~GlobalRegion();
  GlobalRegion(const GlobalRegion&) = delete;
  GlobalRegion& operator=(const GlobalRegion&) = delete;

  void Mark(int64_t begin, int64_t bytes, ByteState state);
  bool IsWritten(int64_t begin, int64_t bytes) const;

  // The access of [address, address + bytes); what is wrong with it, or nothing. A write makes the
  // bytes written.
  static std::string Read(const void* address, int64_t bytes);
  static std::string Write(const void* address, int64_t bytes);
  // Whether [address] is in a region that a kernel has written to, once NoteKernelWrite has said
  // so.
  static bool IsOfKernels(const void* address);
  static void NoteKernelWrite(const void* address);

 private:
  static GlobalRegion* Containing(const void* address, int64_t bytes, std::string* fault);
  std::string At(const void* address) const;

  std::string name_;
  char* data_;
  std::vector<ByteState> states_;
  bool is_of_kernels_ = false;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_GLOBAL_MEMORY_H_
