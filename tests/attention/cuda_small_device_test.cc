// Attention on devices of less shared memory than the largest has: kernels whose blocks do not fit
// take another shape, to the same bits.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/cuda/launch_shape.h"
#include "gtest/gtest.h"
#include "tests/attention/emulated_mla.h"
#include "tests/attention/gqa_decode_harness.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/mla_harness.h"

namespace quire {
namespace {

using ::quire::testing::DecodeQueries;
using ::quire::testing::EmulatedDecode;
using ::quire::testing::EmulatedMla;
using ::quire::testing::HostMatrix;
using ::quire::testing::MlaQueries;
using ::quire::testing::PagedKv;
using ::quire::testing::RunAbsorbed;
using ::quire::testing::RunGqa;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};
constexpr size_t kRooms[] = {size_t{163} << 10, kLeastSharedBytes};

struct Dims {
  int head, value;
};

class CudaSmallDeviceDecodeTest : public ::testing::TestWithParam<Dims> {};

// A warp has two or three tiles, so that places of the rings are used again.
TEST_P(CudaSmallDeviceDecodeTest, SharedMemoryChangesNoBit) {
  const auto [head_dim, value_dim] = GetParam();
  for (DType cache : kTypes) {
    for (DType act : kTypes) {
      PagedKv kv({2, 1, head_dim, value_dim, 0}, 16, cache, {{1, 150}});
      kv.FillNormal(3);
      const HostMatrix qkv = DecodeQueries(kv, act);
      EmulatedDecode largest({.detect_races = false});
      const HostMatrix want = RunGqa(largest, kv, qkv);
      EXPECT_TRUE(testing::NearReference(want, kv, qkv));
      for (size_t room : kRooms) {
        EmulatedDecode decode({.seed = 5, .max_shared_bytes = room});
        EXPECT_TRUE(RunGqa(decode, kv, qkv).SameBits(want))
            << DTypeName(act) << " over " << DTypeName(cache) << " in " << room;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dims, CudaSmallDeviceDecodeTest,
                         ::testing::ValuesIn(std::vector<Dims>{
                             {64, 64}, {96, 96}, {128, 128}, {192, 128}, {192, 192}, {256, 256}}),
                         [](const auto& info) {
                           return std::to_string(info.param.head) + "And" +
                                  std::to_string(info.param.value);
                         });

// R = 512 with Dr of DeepSeek's, and with the most: tiles that have no room beside another.
TEST(CudaSmallDeviceMlaTest, SharedMemoryChangesNoBit) {
  for (const MlaShape& shape : {MlaShape{2, 512, 8, 64, 8}, MlaShape{2, 512, 8, 128, 8}}) {
    for (DType type : kTypes) {
      const int32_t keys = type == DType::kBFloat16 ? 300 : 70;  // FMAs take their time
      PagedKv kv(testing::CacheShape(shape), 16, type, {{1, keys}});
      kv.FillNormal(1);
      const MlaQueries queries(shape, type, type, kv.num_tokens());
      const auto absorb = [&](const testing::MlaDrive& drive) {
        EmulatedMla mla(drive);
        return RunAbsorbed(mla, shape, kv, kv.batch(), queries.latent.view(), queries.q.view());
      };
      const HostMatrix want = absorb({});
      for (size_t room : kRooms) {
        EXPECT_TRUE(absorb({.max_shared_bytes = room}).SameBits(want))
            << DTypeName(type) << ", " << shape.rope_dim << " rotated dims, in " << room;
      }
    }
  }
}

}  // namespace
}  // namespace quire
