#ifndef QUIRE_TOKENIZER_CPU_LIMIT_H_
#define QUIRE_TOKENIZER_CPU_LIMIT_H_

#include <cstddef>
#include <ctime>

namespace quire {

// How much of the thread's time one Encode may take, all its patterns and pieces together: what
// looks ahead to the end of the text from every byte, quadratic on megabytes, meets this limit.
// Used by one thread.
class CpuLimit {
 public:
  explicit CpuLimit(double seconds) : end_(Now() + seconds) {}
  // Ten seconds, and one for each megabyte: good patterns and merges take a tenth of that.
  static CpuLimit ForText(size_t bytes) { return CpuLimit(10 + 1e-6 * static_cast<double>(bytes)); }

  bool IsPassed() const { return Now() > end_; }
  // To be asked often: looks at the clock at every 256th call.
  bool IsPassedNowAndThen() { return ++calls_ % 256 == 0 && IsPassed(); }

 private:
  static double Now() {
    timespec time = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  double end_;
  unsigned calls_ = 0;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_CPU_LIMIT_H_
