#include "core/cuda/emulation/fibre.h"

#include <sys/mman.h>

#include "core/check.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace quire::emulation {
namespace {

namespace context = boost::context::detail;

// Address space; pages are taken as they are touched.
constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kGuardBytes = 4096;

// What AddressSanitizer is told of stacks: that one is used afresh, and each change of it.
#ifdef __SANITIZE_ADDRESS__
void BeginStack(char* stack) { ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes); }
void BeginSwitch(void** own_fake, const void* to, size_t bytes) {
  __sanitizer_start_switch_fiber(own_fake, to, bytes);
}
void EndSwitch(void* own_fake, const void** from, size_t* bytes) {
  __sanitizer_finish_switch_fiber(own_fake, from, bytes);
}
#else
void BeginStack(char*) {}
void BeginSwitch(void**, const void*, size_t) {}
void EndSwitch(void*, const void**, size_t*) {}
#endif

}  // namespace

Fibre::~Fibre() {
  if (stack_ != nullptr) ::munmap(stack_ - kGuardBytes, kStackBytes + kGuardBytes);
}

void Fibre::Start(void (*run)(void*), void* argument) {
  if (stack_ == nullptr) {
    void* mapped = ::mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    QUIRE_CHECK(mapped != MAP_FAILED) << "no address space for an emulated thread's stack";
    QUIRE_CHECK(::mprotect(mapped, kGuardBytes, PROT_NONE) == 0);
    stack_ = static_cast<char*>(mapped) + kGuardBytes;
  }
  BeginStack(stack_);
  run_ = run;
  argument_ = argument;
  own_ = context::make_fcontext(stack_ + kStackBytes, kStackBytes, &Fibre::Enter);
}

void Fibre::Resume() {
  BeginSwitch(&scheduler_fake_stack_, stack_, kStackBytes);
  own_ = context::jump_fcontext(own_, this).fctx;
  EndSwitch(scheduler_fake_stack_, nullptr, nullptr);
}

void Fibre::Suspend() {
  BeginSwitch(&own_fake_stack_, scheduler_stack_, scheduler_stack_bytes_);
  scheduler_ = context::jump_fcontext(scheduler_, nullptr).fctx;
  EndSwitch(own_fake_stack_, &scheduler_stack_, &scheduler_stack_bytes_);
}

void Fibre::Enter(context::transfer_t from) {
  auto* fibre = static_cast<Fibre*>(from.data);
  EndSwitch(nullptr, &fibre->scheduler_stack_, &fibre->scheduler_stack_bytes_);
  fibre->scheduler_ = from.fctx;
  fibre->run_(fibre->argument_);
  QUIRE_CHECK(false) << "an emulated thread was resumed after its end";
}

}  // namespace quire::emulation
