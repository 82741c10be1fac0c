// Weights on their way to a CUDA device, through staging memory that is written again and again.
// The emulated queue copies as late as it may: what is written too early shows in the bits.
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/elements.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/cuda_linear.h"
#include "ops/cuda/staged_copies.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedMemory;
using ::quire::emulation::EmulatedQueue;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Tells what was asked of it.
class WatchedQueue : public EmulatedQueue {
 public:
  absl::StatusOr<DeviceBuffer> MakeStaging(size_t bytes) override {
    if (refused_makes > 0 && --refused_makes == 0) return absl::ResourceExhaustedError("no more");
    absl::StatusOr<DeviceBuffer> made = EmulatedQueue::MakeStaging(bytes);
    live_bytes += bytes;
    auto inner = std::make_shared<DeviceBuffer>(*std::move(made));
    void* const data = inner->data();
    return DeviceBuffer(data, bytes,
                        [this, inner](void* /*data*/, size_t taken) { live_bytes -= taken; });
  }
  void CopyToDevice(void* device, const void* host, size_t bytes) override {
    copied.push_back(bytes);
    EmulatedQueue::CopyToDevice(device, host, bytes);
  }
  void Await(Mark mark) override {
    awaited.push_back(mark);
    EmulatedQueue::Await(mark);
  }

  int refused_makes = 0;  // the how manieth from now on is refused
  size_t live_bytes = 0;
  std::vector<size_t> copied;
  std::vector<Mark> awaited;
};

class CudaWeightsTest : public ::testing::Test {
 protected:
  CudaWeightsTest() { memory_.WaitFor(queue_); }

  WatchedQueue queue_;
  EmulatedMemory memory_;
  ThreadPool pool_{3};
};

std::vector<uint8_t> RandomElements(DType dtype, int64_t count, std::mt19937& random) {
  std::vector<uint8_t> bytes(count * DTypeBytes(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const auto number = static_cast<uint16_t>(random() % 0x7000U + (random() % 2) * 0x8000U);
    if (dtype == DType::kFloat32) {
      StoreElement(bytes.data(), dtype, i, ToFloat(bf16{number}) * 1.001F);
    } else {
      std::memcpy(bytes.data() + 2 * i, &number, 2);
    }
  }
  return bytes;
}

enum class Form { kPlain, kStrided, kTransposed, kInTurns, kMxfp4 };
constexpr Form kForms[] = {Form::kPlain, Form::kStrided, Form::kTransposed, Form::kInTurns,
                           Form::kMxfp4};

// Owns a matrix as checkpoints store it.
struct Source {
  Source(Form form, DType dtype, int64_t rows, int64_t width, bool has_bias, std::mt19937& random)
      : spec{.out_features = rows} {
    const int64_t stride = form == Form::kStrided ? width + 3 : width;
    spec.weight_dtype = dtype;
    if (form == Form::kMxfp4) {
      elements = RandomElements(DType::kBFloat16, rows * width / 4, random);
      for (int64_t i = 0; i < rows * width / kMxfp4Block; ++i) {
        scales.push_back(static_cast<uint8_t>(120 + random() % 16));
      }
      spec.mxfp4_scales = scales.data();
    } else {
      elements = RandomElements(dtype, 2 * rows * stride, random);
    }
    spec.weight = elements.data();
    spec.row_stride = stride;
    if (form == Form::kTransposed) {
      spec.row_stride = 1;
      spec.col_stride = rows;
    } else if (form == Form::kInTurns) {
      spec.row_stride = 2;
      spec.col_stride = 2 * rows;
    }
    if (!has_bias) return;
    biases = RandomElements(dtype, rows, random);
    spec.bias = biases.data();
    spec.bias_dtype = dtype;
  }
  Source(Source&&) = default;

  WeightRows spec;
  std::vector<uint8_t> elements, biases, scales;
};

struct Expected {
  std::vector<float> weights;  // [N, stride], zeros behind the rows' ends
  std::vector<float> biases;
};

Expected Expect(const LinearSpec& spec) {
  const int64_t stride = CudaLinear::RowStride(spec.in_features, spec.act_dtype);
  Expected expected;
  for (const WeightRows& part : spec.parts) {
    for (int64_t row = 0; row < part.out_features; ++row) {
      for (int64_t col = 0; col < stride; ++col) {
        const bool within = col < spec.in_features;
        expected.weights.push_back(
            within ? RoundTo(spec.act_dtype, LoadWeight(part, spec.in_features, row, col)) : 0.0F);
      }
      expected.biases.push_back(
          part.bias == nullptr ? 0.0F : LoadElement(part.bias, part.bias_dtype, row));
    }
  }
  return expected;
}

void ExpectHas(const CudaLinear& linear, const Expected& expected) {
  const DeviceMatrix weight = linear.weight();
  for (size_t i = 0; i < expected.weights.size(); ++i) {
    ASSERT_EQ(LoadElement(weight.data, weight.dtype, static_cast<int64_t>(i)), expected.weights[i])
        << i << " of rows of " << weight.row_stride;
  }
  for (size_t i = 0; i < expected.biases.size() && linear.bias() != nullptr; ++i) {
    ASSERT_EQ(linear.bias()[i], expected.biases[i]) << i;
  }
}

void Overwrite(std::vector<Source>& sources) {
  for (Source& source : sources) {
    for (auto* bytes : {&source.elements, &source.biases, &source.scales}) {
      std::fill(bytes->begin(), bytes->end(), uint8_t{0xcc});
    }
  }
}

// Parts that fill a buffer to the byte, overflow it by a row, or take many turns; the source is
// gone as soon as the call has returned.
TEST_F(CudaWeightsTest, TheBitsAreThoseOfTheSourceWhateverTheStaging) {
  std::mt19937 random(1);
  for (const size_t staging : {size_t{1}, size_t{640}, size_t{1024}, size_t{1} << 20}) {
    for (const DType act : {DType::kBFloat16, DType::kFloat32}) {
      WeightUploader uploader(queue_, memory_, pool_, CpuIsa::kPortable, staging);
      std::vector<std::unique_ptr<CudaLinear>> linears;
      std::vector<Expected> expected;
      for (const int64_t width : {32, 64}) {
        for (const Form form : kForms) {
          for (const int64_t odd : {0, 5}) {
            if (form == Form::kMxfp4 && odd > 0) continue;
            std::vector<Source> sources;
            LinearSpec spec{.name = "w", .in_features = width + odd, .parts = {}, .act_dtype = act};
            for (const int64_t rows : {1, 10, 37}) {
              const DType stored = rows == 10 ? DType::kFloat32 : DType::kBFloat16;
              sources.emplace_back(form, stored, rows, width + odd, rows > 1, random);
              spec.parts.push_back(sources.back().spec);
            }
            expected.push_back(Expect(spec));
            linears.push_back(uploader.Upload(spec).value());
            Overwrite(sources);
          }
        }
      }
      uploader.Finish();
      for (size_t i = 0; i < linears.size(); ++i) ExpectHas(*linears[i], expected[i]);
    }
  }
}

TEST_F(CudaWeightsTest, ManySmallPartsShareABuffer) {
  std::mt19937 random(2);
  WeightUploader uploader(queue_, memory_, pool_, CpuIsa::kPortable, 4096);
  std::vector<std::unique_ptr<CudaLinear>> linears;
  std::vector<DeviceBuffer> vectors;
  std::vector<Expected> expected;
  for (int i = 0; i < 200; ++i) {
    std::vector<Source> sources;
    sources.emplace_back(Form::kPlain, DType::kBFloat16, 1 + i % 3, 8 + i % 11, i % 2 == 0, random);
    const LinearSpec spec{.name = "w", .in_features = 8 + i % 11, .parts = {sources[0].spec}};
    expected.push_back(Expect(spec));
    linears.push_back(uploader.Upload(spec).value());
    Overwrite(sources);
    std::vector<float> values(1 + i % 5, static_cast<float>(i));
    vectors.push_back(uploader.UploadArray(values).value());
    std::fill(values.begin(), values.end(), -1.0F);
  }
  // 200 of up to 8 * 40 bytes in all: a tenth of them would wait if each took a turn of its own.
  EXPECT_LT(queue_.awaited.size(), 20U);
  uploader.Finish();
  for (int i = 0; i < 200; ++i) {
    ExpectHas(*linears[i], expected[i]);
    ASSERT_EQ(static_cast<const float*>(vectors[i].data())[i % 5], static_cast<float>(i));
  }
}

TEST_F(CudaWeightsTest, TablesHaveTheirRowsToo) {
  std::mt19937 random(3);
  const Source source(Form::kPlain, DType::kBFloat16, 50, 9, false, random);
  WeightUploader uploader(queue_, memory_, pool_, CpuIsa::kPortable, 100);
  const DeviceBuffer table = uploader.UploadTable(source.spec, 9, DType::kFloat32).value();
  uploader.Finish();
  for (int64_t row = 0; row < 50; ++row) {
    for (int64_t col = 0; col < 12; ++col) {
      ASSERT_EQ(static_cast<const float*>(table.data())[row * 12 + col],
                col < 9 ? LoadWeight(source.spec, 9, row, col) : 0.0F)
          << row << " " << col;
    }
  }
}

class StagedCopiesTest : public CudaWeightsTest {
 protected:
  StagedCopiesTest() : device_(memory_.Allocate(4096, "test").value()) {}

  // `bytes` of `value` behind what was sent so far.
  absl::Status Send(StagedCopies& copies, char value, size_t bytes) {
    const std::vector<char> values(bytes, value);
    const absl::Status status = copies.Copy(At(sent_), values.data(), bytes);
    sent_ += bytes;
    return status;
  }
  char* At(size_t offset) { return static_cast<char*>(device_.data()) + offset; }

  DeviceBuffer device_;
  size_t sent_ = 0;
};

// One buffer is written while the other's copy, and it alone, may be on its way.
TEST_F(StagedCopiesTest, OnlyTheBufferThatIsToBeWrittenIsWaitedFor) {
  StagedCopies copies(queue_, 128);
  ASSERT_TRUE(Send(copies, 1, 128).ok());
  EXPECT_THAT(queue_.awaited, IsEmpty());
  ASSERT_TRUE(Send(copies, 2, 128).ok());
  EXPECT_EQ(*At(0), 0) << "somebody waited";
  ASSERT_TRUE(Send(copies, 3, 128).ok());
  EXPECT_THAT(std::vector<char>(At(0), At(128)), Each(1));
  EXPECT_EQ(*At(128), 0) << "the second was waited for too early";
  ASSERT_TRUE(Send(copies, 4, 128).ok());
  EXPECT_THAT(std::vector<char>(At(128), At(256)), Each(2));
  EXPECT_EQ(*At(256), 0);
  copies.Finish();
  EXPECT_THAT(std::vector<char>(At(256), At(384)), Each(3));
  EXPECT_THAT(std::vector<char>(At(384), At(512)), Each(4));
}

TEST_F(StagedCopiesTest, APartLongerThanABufferTakesTurns) {
  StagedCopies copies(queue_, 192);
  ASSERT_TRUE(Send(copies, 1, 100).ok());
  ASSERT_TRUE(Send(copies, 2, 300).ok());  // from byte 128 of the first on
  ASSERT_TRUE(Send(copies, 3, 1).ok());
  EXPECT_THAT(queue_.copied, ElementsAre(100, 64, 192, 44, 1));
  copies.Finish();
  EXPECT_THAT(std::vector<char>(At(0), At(100)), Each(1));
  EXPECT_THAT(std::vector<char>(At(100), At(400)), Each(2));
  EXPECT_EQ(*At(400), 3);
}

TEST_F(StagedCopiesTest, TheStagingIsThereWhileItIsNeededAndGrowsForAPiece) {
  {
    StagedCopies copies(queue_, 128);
    EXPECT_EQ(queue_.live_bytes, 0U);
    ASSERT_TRUE(Send(copies, 1, 1000).ok());
    EXPECT_EQ(queue_.live_bytes, 256U);
    const auto room = copies.Take(400, 7).value();
    EXPECT_EQ(room.count, 1);
    EXPECT_EQ(queue_.live_bytes, 800U);
    std::memset(room.data, 2, 400);
    copies.Send(At(1000), room);
    copies.Finish();
    EXPECT_EQ(queue_.live_bytes, 0U);
    EXPECT_THAT(std::vector<char>(At(0), At(1000)), Each(1));
    EXPECT_THAT(std::vector<char>(At(1000), At(1400)), Each(2));
    sent_ = 1400;
    ASSERT_TRUE(Send(copies, 3, 128).ok());  // once more
  }
  EXPECT_EQ(queue_.live_bytes, 0U);
  EXPECT_THAT(std::vector<char>(At(1400), At(1528)), Each(3));
}

TEST_F(StagedCopiesTest, NoStagingIsToldAndMayBeThereLater) {
  for (const int refused : {1, 2}) {
    StagedCopies copies(queue_, 128);
    queue_.refused_makes = refused;
    EXPECT_EQ(copies.Copy(At(0), "ab", 2).code(), absl::StatusCode::kResourceExhausted);
    ASSERT_TRUE(copies.Copy(At(0), "cd", 2).ok());
    copies.Finish();
    EXPECT_EQ(*At(1), 'd');
  }
}

}  // namespace
}  // namespace quire
