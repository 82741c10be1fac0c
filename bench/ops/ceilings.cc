#include "bench/ops/ceilings.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "bench/ops/kernels/peak_kernels.h"
#include "core/check.h"
#include "core/cpu/isa_table.h"

namespace quire {

QUIRE_DEFINE_ISA_TABLE(PeakKernelsFor, PeakKernels, kPeakKernels);

namespace bench {
namespace {

constexpr int64_t kReadBytes = int64_t{64} << 20;  // of one sample
constexpr int64_t kReadTask = int64_t{128} << 10;
constexpr int64_t kPeakRounds = 20000;

// Adds up every word, with the same look-ahead as the kernels that stream weights.
uint64_t SumWords(const char* data, int64_t bytes) {
  uint64_t sums[8] = {};
  for (int64_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(data + at + 3072);
    const auto* words = reinterpret_cast<const uint64_t*>(data + at);
    for (int i = 0; i < 8; ++i) sums[i] += words[i];
  }
  uint64_t sum = 0;
  for (uint64_t part : sums) sum += part;
  return sum;
}

}  // namespace

double Seconds(absl::FunctionRef<void()> run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double Median(std::vector<double> values) {
  QUIRE_CHECK(!values.empty());
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

Ceilings::Ceilings(ThreadPool& pool, DeviceMemory& memory) : pool_(pool) {
  auto buffer = memory.Allocate(kColdBytes, "benchmark");
  QUIRE_CHECK(buffer.ok()) << buffer.status();
  cold_ = *std::move(buffer);
}

double Ceilings::ReadBytesPerSecond() {
  const char* begin = static_cast<const char*>(cold_.data()) + next_;
  next_ = (next_ + kReadBytes) % kColdBytes;
  std::atomic<uint64_t> kept{0};
  const double seconds = Seconds([&] {
    pool_.ParallelFor(kReadBytes / kReadTask, [&](int64_t task, int /*thread*/) {
      kept += SumWords(begin + task * kReadTask, kReadTask);
    });
  });
  return static_cast<double>(kReadBytes) / seconds;
}

double Ceilings::FlopsPerSecond(CpuIsa isa, bool bf16_dot) {
  const PeakKernels& kernels = PeakKernelsFor(isa);
  std::atomic<double> flops{0.0};
  const double seconds = Seconds([&] {
    pool_.ParallelFor(pool_.num_threads() * 4, [&](int64_t /*task*/, int /*thread*/) {
      flops += (bf16_dot ? kernels.bf16_dot : kernels.fma)(kPeakRounds);
    });
  });
  return flops / seconds;
}

void Report(benchmark::State& state, Ceilings& ceilings, CpuIsa isa, bool bf16_dot, Bound bound,
            Work work, absl::FunctionRef<void(int64_t)> run) {
  constexpr double kGroupSeconds = 0.004;  // of calls between two samples of the ceilings
  std::vector<double> times;
  std::vector<double> reads;
  std::vector<double> peaks;
  std::vector<double> shares;
  const auto sample = [&] {
    reads.push_back(ceilings.ReadBytesPerSecond());
    peaks.push_back(ceilings.FlopsPerSecond(isa, bf16_dot));
  };
  int64_t calls = 0;
  double group_seconds = 0.0;
  int64_t group_calls = 0;
  // Of the group of calls between the last sample and a new one.
  const auto take_share = [&] {
    sample();
    const std::vector<double>& ceiling = bound == Bound::kMemory ? reads : peaks;
    const double beside = (ceiling[ceiling.size() - 2] + ceiling.back()) / 2;
    const double amount = bound == Bound::kMemory ? work.bytes : work.flops;
    shares.push_back(amount * static_cast<double>(group_calls) / group_seconds / beside);
    group_seconds = 0.0;
    group_calls = 0;
  };
  run(0);
  sample();
  for (auto _ : state) {
    times.push_back(Seconds([&] { run(++calls); }));
    state.SetIterationTime(times.back());
    group_seconds += times.back();
    ++group_calls;
    if (group_seconds >= kGroupSeconds) take_share();
  }
  if (shares.empty()) take_share();  // a case shorter than a group
  const double median = Median(times);
  const auto [least, most] = std::minmax_element(times.begin(), times.end());
  state.counters["us"] = median * 1e6;
  state.counters["us_min"] = *least * 1e6;
  state.counters["us_max"] = *most * 1e6;
  state.counters["bytes"] = work.bytes;
  state.counters["flops"] = work.flops;
  state.counters["GB_s"] = work.bytes / median / 1e9;
  state.counters["GF_s"] = work.flops / median / 1e9;
  state.counters["read_GB_s"] = Median(reads) / 1e9;
  state.counters["peak_GF_s"] = Median(peaks) / 1e9;
  state.counters["share"] = Median(shares);
}

}  // namespace bench
}  // namespace quire
