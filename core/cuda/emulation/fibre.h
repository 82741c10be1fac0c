// Fibres that stand for CUDA threads. One scheduler resumes them; a fibre suspends itself. A fibre
// that is not resumed any more is forgotten: nothing on its stack is destroyed.
#ifndef QUIRE_CORE_CUDA_EMULATION_FIBRE_H_
#define QUIRE_CORE_CUDA_EMULATION_FIBRE_H_

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace quire::emulation {

class Fibre {
 public:
  Fibre() = default;
  ~Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // Makes it ready to call run(argument), which must end with Suspend() and is not resumed then.
  // The stack is kept for the next start.
  void Start(void (*run)(void* argument), void* argument);
  // From the scheduler: runs it until it suspends itself.
  void Resume();
  // From the fibre: back to the scheduler.
  void Suspend();

 private:
  static void Enter(boost::context::detail::transfer_t from);

  char* stack_ = nullptr;  // a guard page lies below it
  void (*run_)(void*) = nullptr;
  void* argument_ = nullptr;
  boost::context::detail::fcontext_t own_ = nullptr;
  boost::context::detail::fcontext_t scheduler_ = nullptr;
  // What AddressSanitizer wants to know of a switch of stacks.
  void* own_fake_stack_ = nullptr;
  void* scheduler_fake_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_FIBRE_H_
