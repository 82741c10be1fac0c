// A for loop under way: what is yet to come, and the variable "loop".
#ifndef QUIRE_JINJA_LOOP_H_
#define QUIRE_JINJA_LOOP_H_

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "jinja/value.h"

namespace quire::jinja {

class Loop : public Object {
 public:
  using Test = std::function<absl::StatusOr<bool>(const Value&)>;

  // Items that fail `test` (null: none) are passed over. An item is tested no sooner than it, or
  // what lies behind it, is asked for, as the test may look at what the loop's body does.
  Loop(std::vector<Value> items, Test test)
      : items_(std::move(items)), depth_(ExtentOf(items_).depth), test_(std::move(test)) {}

  // The next item; nullopt at the end.
  absl::StatusOr<std::optional<Value>> Next();
  // After the last item, or a break: nothing is tested any more.
  void End() { test_ = nullptr; }
  bool has_run() const { return index_ >= 0; }

  absl::string_view type_name() const override { return "LoopContext"; }
  int depth() const override { return depth_; }
  absl::StatusOr<std::optional<Value>> Attribute(Context& context, absl::string_view name) override;

 private:
  absl::StatusOr<std::optional<Value>> Find();  // the next one that passes the test
  absl::Status Peek();                          // fills next_
  absl::StatusOr<int64_t> Length();
  absl::StatusOr<std::optional<Value>> Neighbour(absl::string_view name);

  const std::vector<Value> items_;
  const int depth_;
  Test test_;
  size_t taken_ = 0;    // of items_
  int64_t index_ = -1;  // of the current item among those that pass
  std::optional<Value> previous_;
  std::optional<Value> current_;
  bool has_peeked_ = false;
  std::optional<Value> next_;               // where has_peeked_
  std::optional<std::vector<Value>> rest_;  // once the length has been asked for
  size_t rest_taken_ = 0;
};

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_LOOP_H_
