#include "bench/gpu/linears.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "core/check.h"

namespace quire::gpu_bench {

std::unique_ptr<Linear> RandomLinear(Ops& ops, int64_t out, int64_t in) {
  constexpr size_t kNumbers = (1 << 22) + 1;  // odd: rows are not alike
  static std::vector<bf16> numbers;           // as many as the largest has had
  const auto count = static_cast<size_t>(out * in);
  if (numbers.empty()) {
    std::mt19937 random(7);
    for (size_t i = 0; i < kNumbers; ++i) {
      numbers.push_back(ToBf16(static_cast<float>(static_cast<int32_t>(random())) * 0x1p-37F));
    }
  }
  if (numbers.size() < count) {
    size_t done = numbers.size();
    numbers.resize(count);
    for (; done < count; done += std::min(done, count - done)) {
      std::memcpy(&numbers[done], numbers.data(), std::min(done, count - done) * sizeof(bf16));
    }
  }
  WeightRows rows;
  rows.weight = numbers.data();
  rows.weight_dtype = kAct;
  rows.out_features = out;
  auto linear =
      ops.MakeLinear({.name = "benchmark", .in_features = in, .parts = {rows}, .act_dtype = kAct});
  QUIRE_CHECK(linear.ok()) << linear.status();
  return *std::move(linear);
}

}  // namespace quire::gpu_bench
