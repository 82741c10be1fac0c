// Checks for what only a bug can break. They are always on, print both values and abort; what a
// client or a file can cause is an absl::Status instead.
//
//   QUIRE_CHECK(ready);
//   QUIRE_CHECK_LE(end, capacity) << "sequence " << id;
#ifndef QUIRE_CORE_CHECK_H_
#define QUIRE_CORE_CHECK_H_

#include <memory>
#include <sstream>
#include <string>

namespace quire::internal {

// Collects the message of a failed check and aborts when it goes out of scope.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const std::string& what);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Lets a check be a statement of type void with a stream behind it.
struct Voidify {
  void operator&(const std::ostream&) const {}
};

// Null when the comparison holds, else "a <= b (7 vs. 5)".
template <typename A, typename B, typename Compare>
std::unique_ptr<std::string> CompareOrDescribe(const A& a, const B& b, Compare compare,
                                               const char* text) {
  if (compare(a, b)) [[likely]] {
    return nullptr;
  }
  std::ostringstream out;
  out << text << " (" << +a << " vs. " << +b << ")";
  return std::make_unique<std::string>(out.str());
}

}  // namespace quire::internal

#define QUIRE_CHECK(condition)                 \
  (condition) ? (void)0                        \
              : ::quire::internal::Voidify() & \
                    ::quire::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

#define QUIRE_CHECK_OP_(op, a, b)                                                               \
  while (auto quire_failure_ = ::quire::internal::CompareOrDescribe(                            \
             (a), (b), [](const auto& x, const auto& y) { return x op y; }, #a " " #op " " #b)) \
  ::quire::internal::CheckFailure(__FILE__, __LINE__, *quire_failure_).stream()

#define QUIRE_CHECK_EQ(a, b) QUIRE_CHECK_OP_(==, a, b)
#define QUIRE_CHECK_NE(a, b) QUIRE_CHECK_OP_(!=, a, b)
#define QUIRE_CHECK_LT(a, b) QUIRE_CHECK_OP_(<, a, b)
#define QUIRE_CHECK_LE(a, b) QUIRE_CHECK_OP_(<=, a, b)
#define QUIRE_CHECK_GT(a, b) QUIRE_CHECK_OP_(>, a, b)
#define QUIRE_CHECK_GE(a, b) QUIRE_CHECK_OP_(>=, a, b)

#endif  // QUIRE_CORE_CHECK_H_
