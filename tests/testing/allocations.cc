#include "tests/testing/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace quire::testing {
namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

int64_t Allocations() { return allocations.load(); }

#ifdef QUIRE_SANITIZED

bool CountsAllocations() { return false; }

}  // namespace quire::testing

#else

bool CountsAllocations() { return true; }

}  // namespace quire::testing

// glibc's own, under the names that it keeps for this purpose. operator new ends in malloc.
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
// NOLINTEND(bugprone-reserved-identifier)

void* malloc(size_t bytes) noexcept {
  ++quire::testing::allocations;
  return __libc_malloc(bytes);
}

void* calloc(size_t count, size_t bytes) noexcept {
  ++quire::testing::allocations;
  return __libc_calloc(count, bytes);
}

void* realloc(void* old, size_t bytes) noexcept {
  ++quire::testing::allocations;
  return __libc_realloc(old, bytes);
}

void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  ++quire::testing::allocations;
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  ++quire::testing::allocations;
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}

}  // extern "C"

#endif
