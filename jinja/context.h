// One rendering: its limits, what it has spent of them, and the making of values, which costs.
#ifndef QUIRE_JINJA_CONTEXT_H_
#define QUIRE_JINJA_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "jinja/value.h"

namespace quire::jinja {

// What the template did wrong with these variables.
template <typename... Parts>
absl::Status TemplateError(const Parts&... parts) {
  return absl::FailedPreconditionError(absl::StrCat(parts...));
}

struct Limits {
  // An operation is a step, and so is each 32 bytes of a text or item of a list that it walks
  // through or makes. 50 million take about a second.
  int64_t max_steps = 50'000'000;
  int max_depth = 1000;                   // of expressions, blocks and macro calls
  int64_t max_output_bytes = 64LL << 20;  // of the output and of any text
  int64_t max_live_bytes = 1LL << 30;     // of all that is made, whether or not it still lives
};

class Context {
 public:
  Context(const Limits& limits, absl::Time now) : limits_(limits), now_(now) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();  // breaks the cycles that namespaces make

  const Limits& limits() const { return limits_; }
  absl::Time now() const { return now_; }

  // OUT_OF_RANGE once a limit has been passed.
  absl::Status Spend(int64_t steps);
  // The cost of walking through a value.
  absl::Status Walk(const Value& value) { return Spend(ExtentOf(value).weight); }
  // The cost of a text of so many bytes, and of so many items, before they are made.
  absl::Status SpendBytes(int64_t bytes);
  absl::Status SpendItems(int64_t items);

  absl::StatusOr<Value> MakeText(std::string text, bool markup = false);
  absl::StatusOr<Value> MakeSequence(SequenceKind kind, std::vector<Value> items,
                                     std::string repr = "");
  absl::StatusOr<Value> MakeList(std::vector<Value> items) {
    return MakeSequence(SequenceKind::kList, std::move(items));
  }
  // Of keys and values in turn; a later value of a key replaces an earlier one.
  absl::StatusOr<Value> MakeDict(std::vector<std::pair<Value, Value>> items);
  absl::StatusOr<Value> MakeNamespace(std::vector<std::pair<std::string, Value>> attributes);
  absl::StatusOr<Value> MakeObject(std::shared_ptr<Object> object);

 private:
  absl::Status SpendMemory(int64_t bytes);
  absl::Status CheckExtent(const Extent& extent);

  const Limits limits_;
  const absl::Time now_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_CONTEXT_H_
