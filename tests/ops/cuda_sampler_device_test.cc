// The CUDA sampler on the device. Skipped where there is no GPU.
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "gtest/gtest.h"
#include "ops/cuda/cuda_sampler.h"
#include "tests/ops/sampler_batches.h"
#include "tests/ops/sampler_suite.h"

namespace quire {
namespace {

// Null where there is no GPU.
CudaMemory* Device() {
  static const std::unique_ptr<CudaMemory> memory = [] {
    auto made = CudaMemory::Make(0, 0.25);
    return made.ok() ? *std::move(made) : nullptr;
  }();
  return memory.get();
}

// The CUDA sampler for logits in host memory.
class DeviceSampler : public Sampler {
 public:
  DeviceSampler(CudaMemory& memory, int64_t vocab)
      : memory_(memory),
        sampler_(MakeCudaSampler(stream_, memory, {.vocab_size = vocab, .max_rows = 100}).value()) {
  }

  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    sampler_->Sample(OnDevice(logits), rows, results);
  }
  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    sampler_->Score(OnDevice(logits), targets, top, results);
  }

 private:
  // With the same offset from an aligned address as on the host.
  DeviceMatrix OnDevice(DeviceMatrix logits) {
    const size_t bytes = ((logits.rows - 1) * logits.row_stride + logits.cols) * sizeof(float);
    if (buffer_.bytes() < bytes + 16) buffer_ = memory_.Allocate(bytes + 16, "test").value();
    char* data = static_cast<char*>(buffer_.data()) + reinterpret_cast<uintptr_t>(logits.data) % 16;
    memory_.CopyFromHost(data, logits.data, bytes);
    logits.data = data;
    return logits;
  }

  CudaMemory& memory_;
  CudaStream stream_;
  DeviceBuffer buffer_;
  std::unique_ptr<Sampler> sampler_;
};

std::unique_ptr<Sampler> MakeOnDevice(int64_t vocab) {
  return std::make_unique<DeviceSampler>(*Device(), vocab);
}

INSTANTIATE_TEST_SUITE_P(
    Device, SamplerTest,
    ::testing::Values(TestedSampler{
        .name = "Gpu", .make = MakeOnDevice, .is_missing = [] { return Device() == nullptr; }}),
    SamplerName);

TEST(CudaSamplerDeviceTest, DrawsWhatTheCpuDraws) {
  if (Device() == nullptr) GTEST_SKIP() << "there is no device for it";
  std::mt19937_64 random(21);
  for (int64_t vocab : {1, 31, 32, 33, 1000, 2000, 4099, 32768, 151936, 262144}) {
    const auto sampler = MakeOnDevice(vocab);
    for (int64_t offset : {0, 3}) {
      Batch batch = RandomBatch(random, vocab, 200, offset, offset);
      ExpectCpuDraws(*sampler, batch);
    }
  }
}

// Law: counts that stay on the device are those of the host.
TEST(CudaSamplerDeviceTest, DrawsWhatTheCpuDrawsStepByStep) {
  if (Device() == nullptr) GTEST_SKIP() << "there is no device for it";
  std::mt19937_64 random(22);
  for (int64_t vocab : {7, 300, 32001, 151936}) {
    const auto sampler = MakeOnDevice(vocab);
    Batch some = RandomBatch(random, vocab, 15, 1, 2), many = RandomBatch(random, vocab, 60, 1, 2);
    ExpectCpuDrawsOfSteps(*sampler, some, 12);
    ExpectCpuDrawsOfSteps(*MakeOnDevice(vocab), many, 3);
  }
}

}  // namespace
}  // namespace quire
