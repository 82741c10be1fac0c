// What the CUDA backend takes of its device is what was planned, and all of it is taken at start.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "engine/cuda/weight_memory.h"
#include "engine/load_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/emulated_backend.h"
#include "tests/testing/engine_client.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kEmulatedMemoryBytes;

struct Kind {
  const char* model;
  DType dtype = DType::kBFloat16;
  bool has_biases = false;       // that may be held in bfloat16 too, or not
  bool has_sink_tokens = false;  // whose embeddings are for the start alone
  AttentionSinkOptions sinks = {};
};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.model << " in " << DTypeName(kind.dtype) << ", window " << kind.sinks.window;
}

// Of a device that has so many bytes.
LoadOptions Options(const Kind& kind, size_t device_bytes = kEmulatedMemoryBytes) {
  LoadOptions options;
  options.model = std::string(QUIRE_SOURCE_DIR "/tests/golden/models/") + kind.model;
  options.dtype = kind.dtype;
  options.sinks = kind.sinks;
  options.backend.threads = 2;
  // A power of two below: exact.
  options.backend.gpu_memory_fraction =
      static_cast<double>(device_bytes) / static_cast<double>(kEmulatedMemoryBytes);
  options.max_batch_tokens = 96;
  options.max_num_sequences = 4;
  options.kv_cache_bytes = size_t{2} << 20;
  options.block_tokens = 16;
  return options;
}

std::map<std::string, size_t> Taken(const LoadedModel& model) {
  std::map<std::string, size_t> taken;
  for (const MemoryUse& use : model.memory_plan()) taken[use.purpose] += use.bytes;
  return taken;
}

size_t Total(const std::map<std::string, size_t>& taken) {
  size_t total = 0;
  for (const auto& [purpose, bytes] : taken) total += bytes;
  return total;
}

class CudaMemoryPlan : public ::testing::TestWithParam<Kind> {};

TEST_P(CudaMemoryPlan, TellsWhatIsTaken) {
  const auto loaded = LoadedModel::Load(Options(GetParam()), nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const MemoryBudget& plan = (*loaded)->memory_budget();
  std::map<std::string, size_t> taken = Taken(**loaded);
  EXPECT_LE(Total(taken), plan.total());
  EXPECT_EQ(plan.limit, kEmulatedMemoryBytes);
  EXPECT_EQ(taken["kv cache"], plan.kv_cache);
  EXPECT_EQ(taken["rope tables"], plan.rope_tables);
  EXPECT_EQ(taken["workspace"], plan.workspace);
  EXPECT_LE(taken["activations"], plan.activations);
  EXPECT_LE(taken["weights"], plan.weights);
  if (GetParam().has_sink_tokens) return;
  EXPECT_EQ(taken["activations"], plan.activations);
  if (!GetParam().has_biases) {
    EXPECT_EQ(taken["weights"], plan.weights);
  }
}

TEST_P(CudaMemoryPlan, FitsToTheByteAndOneLessIsRefusedWithTheNumbers) {
  const auto loaded = LoadedModel::Load(Options(GetParam()), nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  // The cache asked for counts, if it isn't more than is of use.
  MemoryBudget plan = (*loaded)->memory_budget();
  plan.kv_cache =
      std::max(plan.kv_cache, plan.kv_cache == 0 ? 0 : *Options(GetParam()).kv_cache_bytes);
  const auto exact = LoadedModel::Load(Options(GetParam(), plan.total()), nullptr);
  EXPECT_TRUE(exact.ok()) << exact.status();
  const absl::Status refused =
      LoadedModel::Load(Options(GetParam(), plan.total() - 1), nullptr).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("the model does not fit: weights "),
                    HasSubstr(absl::StrCat("(", plan.total(), " bytes)")),
                    HasSubstr(absl::StrCat("(", plan.total() - 1, " bytes)"))));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, CudaMemoryPlan,
    ::testing::Values(
        Kind{.model = "llama2"}, Kind{.model = "llama2", .dtype = DType::kFloat32},
        Kind{.model = "llama2", .sinks = {.sinks = 4, .window = 20}},
        Kind{.model = "llama_sinks", .has_sink_tokens = true}, Kind{.model = "gemma3"},
        Kind{.model = "qwen2", .has_biases = true}, Kind{.model = "gpt2", .has_biases = true},
        Kind{.model = "mixtral"}, Kind{.model = "qwen2_moe", .has_biases = true},
        Kind{.model = "gpt_oss", .has_biases = true},
        Kind{.model = "gpt_oss_mxfp4", .has_biases = true}, Kind{.model = "deepseek_v2"},
        Kind{.model = "deepseek_v3", .dtype = DType::kFloat32}, Kind{.model = "quire_mla"},
        Kind{.model = "llama_longrope"}, Kind{.model = "bert", .has_biases = true}));

// The cache gets what is left, to a block and to what grows with it.
TEST(CudaMemory, TheCacheTakesWhatIsLeft) {
  for (const char* model : {"llama2", "gemma3", "deepseek_v2"}) {
    SCOPED_TRACE(model);
    LoadOptions options = Options({.model = model});
    options.kv_cache_bytes.reset();
    options.backend.gpu_memory_fraction = 1.0;
    const auto most = LoadedModel::Load(options, nullptr);
    ASSERT_TRUE(most.ok()) << most.status();
    const size_t limit = (*most)->memory_budget().total() - (*most)->memory_budget().kv_cache / 2;
    options.backend.gpu_memory_fraction =
        static_cast<double>(limit) / static_cast<double>(kEmulatedMemoryBytes);
    const auto loaded = LoadedModel::Load(options, nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const MemoryBudget& plan = (*loaded)->memory_budget();
    EXPECT_EQ(plan.limit, limit);
    EXPECT_LE(plan.total(), limit);
    EXPECT_LE(Total(Taken(**loaded)), limit);
    size_t block_bytes = 0;
    for (const size_t bytes : (*loaded)->block_bytes()) block_bytes += bytes;
    const size_t grown = ((*most)->memory_budget().total() - (*most)->memory_budget().kv_cache) -
                         (plan.total() - plan.kv_cache);
    EXPECT_LE(limit - plan.total(), block_bytes + grown);
  }
}

TEST(CudaMemory, TooLittleForTheLeastCacheIsRefusedWithTheNumbersToo) {
  LoadOptions options = Options({.model = "llama2"});
  const auto loaded = LoadedModel::Load(options, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const MemoryBudget& plan = (*loaded)->memory_budget();
  options = Options({.model = "llama2"}, plan.total() - plan.kv_cache);
  options.kv_cache_bytes.reset();
  const absl::Status refused = LoadedModel::Load(options, nullptr).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the model does not fit: weights "));
}

// Small buffers one behind the other, and what doesn't fit as before.
TEST(WeightMemory, WeightsAreOnePieceOfWhatWasReserved) {
  emulation::EmulatedMemory device(4096);
  WeightMemory memory(device);
  const DeviceBuffer before = memory.Allocate(100, "weights").value();
  ASSERT_TRUE(memory.Reserve(1024).ok());
  EXPECT_EQ(device.AvailableBytes(), 4096U - 256 - 1024);
  {
    const DeviceBuffer first = memory.Allocate(300, "weights").value();
    const DeviceBuffer other = memory.Allocate(300, "workspace").value();
    const DeviceBuffer second = memory.Allocate(512, "weights").value();
    EXPECT_EQ(static_cast<char*>(second.data()) - static_cast<char*>(first.data()), 512);
    EXPECT_EQ(second.bytes(), 512U);
    EXPECT_EQ(device.AvailableBytes(), 4096U - 256 - 1024 - 512);
    const DeviceBuffer third = memory.Allocate(1, "weights").value();
    EXPECT_EQ(device.AvailableBytes(), 4096U - 256 - 1024 - 512 - 256);
    EXPECT_EQ(memory.Allocate(4096, "weights").status().code(),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(device.AvailableBytes(), 4096U - 256 - 1024);
}

TEST(WeightMemory, ThePieceOutlivesWhatGivesItOut) {
  emulation::EmulatedMemory device(4096);
  DeviceBuffer buffer;
  {
    WeightMemory memory(device);
    ASSERT_TRUE(memory.Reserve(1024).ok());
    buffer = memory.Allocate(300, "weights").value();
  }
  EXPECT_EQ(device.AvailableBytes(), 3072U);
  buffer = DeviceBuffer();
  EXPECT_EQ(device.AvailableBytes(), 4096U);
  EXPECT_EQ(WeightMemory(device).Reserve(5000).code(), absl::StatusCode::kResourceExhausted);
}

TEST(CudaMemory, RequestsTakeNothing) {
  for (const char* model : {"llama2", "mixtral", "deepseek_v2", "gemma3"}) {
    SCOPED_TRACE(model);
    const auto loaded = LoadedModel::Load(Options({.model = model}), nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const auto before = Taken(**loaded);
    const uint64_t allocations = testing::latest_emulated_memory.load()->allocations();
    EXPECT_GT(allocations, 10U);
    for (const int length : {1, 60, 150}) {
      Request request;
      for (int i = 0; i < length; ++i) request.prompt.push_back(3 + (i * i) % 90);
      request.sampling.frequency_penalty = 0.5F;
      request.stopping.max_new_tokens = 4;
      request.num_sequences = length == 60 ? 3 : 1;
      request.top_logprobs = 3;
      request.prompt_logprobs = length == 150;
      testing::Run((*loaded)->engine(), request);
    }
    EXPECT_EQ(Taken(**loaded), before);
    EXPECT_EQ(testing::latest_emulated_memory.load()->allocations(), allocations);
  }
}

}  // namespace
}  // namespace quire
