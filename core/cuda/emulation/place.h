// Where in a kernel's source an emulated thread is.
#ifndef QUIRE_CORE_CUDA_EMULATION_PLACE_H_
#define QUIRE_CORE_CUDA_EMULATION_PLACE_H_

#include <cstring>
#include <string>

namespace quire {

// Not in `emulation`: an argument of it would bring that namespace's functions among the primitives
// of the same names.
struct KernelPlace {
  const char* file = "";
  int line = 0;

  // As a default argument it names the caller's place.
  static constexpr KernelPlace Here(const char* file = __builtin_FILE(),
                                    int line = __builtin_LINE()) {
    return {file, line};
  }
  friend bool operator==(const KernelPlace& a, const KernelPlace& b) {
    return a.line == b.line && std::strcmp(a.file, b.file) == 0;
  }
};

namespace emulation {

using Place = KernelPlace;

// "norm.cuh:57"
std::string Describe(const Place& place);

}  // namespace emulation
}  // namespace quire

#endif  // QUIRE_CORE_CUDA_EMULATION_PLACE_H_
