// Weights in every form that checkpoints store, packed exactly.
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr DType kStored[] = {DType::kBFloat16, DType::kFloat32, DType::kFloat16};

// Exactly `count` random finite elements.
std::vector<uint8_t> RandomElements(DType dtype, int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
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

class CpuPackTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  // The packed weights are what LoadWeight says, rounded once.
  void ExpectPacksExactly(const LinearSpec& spec) {
    const auto linear = ops_->MakeLinear(spec).value();
    const auto table = ops_->TieEmbedding(*linear);
    int32_t first = 0;
    for (const WeightRows& part : spec.parts) {
      std::vector<int32_t> ids;
      for (int64_t row = 0; row < part.out_features; ++row) ids.push_back(first++);
      HostMatrix out(DType::kFloat32, part.out_features, spec.in_features);
      ops_->Embed(*table, {ids.data(), part.out_features}, {}, out.view());
      for (int64_t row = 0; row < part.out_features; ++row) {
        for (int64_t i = 0; i < spec.in_features; ++i) {
          const float stored = LoadWeight(part, spec.in_features, row, i);
          ASSERT_EQ(out.at(row, i), RoundTo(spec.act_dtype, stored)) << row << " " << i;
        }
      }
    }
  }

  void ExpectBiases(const LinearSpec& spec) {
    const auto linear = ops_->MakeLinear(spec).value();
    const auto expected = reference_->MakeLinear(spec).value();
    HostMatrix zero(spec.act_dtype, 1, spec.in_features);
    for (int64_t i = 0; i < spec.in_features; ++i) zero.set(0, i, 0.0F);
    HostMatrix y(DType::kFloat32, 1, linear->out_features());
    HostMatrix want(DType::kFloat32, 1, linear->out_features());
    ops_->Apply(*linear, zero.view(), y.view());
    reference_->Apply(*expected, zero.view(), want.view());
    EXPECT_TRUE(y.SameBits(want));
  }

  ThreadPool pool_{2};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeCpuOps(pool_, memory_, GetParam(), {});
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

// GPT-2's Conv1D.
TEST_P(CpuPackTest, InByOutIsTransposed) {
  for (DType act : kActs) {
    for (DType stored : kStored) {
      for (int64_t in : {1, 33, 1024, 1100}) {
        const int64_t out = in > 1000 ? 70 : 130;
        const auto weight = RandomElements(stored, in * out, 1);
        const auto bias = RandomElements(stored, out, 2);
        WeightRows rows{weight.data(), stored, out, bias.data(), stored};
        rows.row_stride = 1;
        rows.col_stride = out;
        ExpectPacksExactly({"test", in, {rows}, act});
        ExpectBiases({"test", in, {rows}, act});
      }
    }
  }
}

// gpt-oss: gate and up in turns along the last dimension.
TEST_P(CpuPackTest, InterleavedGateAndUpComeApart) {
  for (DType act : kActs) {
    for (DType stored : kStored) {
      const int64_t in = 50;
      const int64_t ffn = 70;  // so that both meet in one panel
      const auto weight = RandomElements(stored, in * 2 * ffn, 1);
      const auto bias = RandomElements(stored, 2 * ffn, 2);
      LinearSpec spec{"test", in, {}, act};
      for (int64_t part : {0, 1}) {
        const auto skip = part * static_cast<int64_t>(DTypeBytes(stored));
        WeightRows rows{weight.data() + skip, stored, ffn, bias.data() + skip, stored};
        rows.row_stride = 2;
        rows.col_stride = 2 * ffn;
        rows.bias_stride = 2;
        spec.parts.push_back(rows);
      }
      ExpectPacksExactly(spec);
      ExpectBiases(spec);
    }
  }
}

TEST_P(CpuPackTest, FormsMayMeetInOneLinear) {
  for (DType act : kActs) {
    const int64_t in = 1056;  // more than is expanded at a time
    const auto plain = RandomElements(DType::kBFloat16, 20 * (in + 9), 1);
    const auto turned = RandomElements(DType::kFloat32, in * 33, 2);
    const auto blocks = RandomElements(DType::kBFloat16, 30 * in / 4, 3);
    std::vector<uint8_t> scales(30 * in / 32);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(100 + i % 50);
    LinearSpec spec{"test", in, {}, act};
    spec.parts.push_back({plain.data(), DType::kBFloat16, 20});
    spec.parts.back().row_stride = in + 9;
    spec.parts.push_back({turned.data(), DType::kFloat32, 33});
    spec.parts.back().row_stride = 1;
    spec.parts.back().col_stride = 33;
    spec.parts.push_back({blocks.data(), DType::kBFloat16, 30});
    spec.parts.back().mxfp4_scales = scales.data();
    spec.parts.push_back({plain.data(), DType::kBFloat16, 20});
    ExpectPacksExactly(spec);
  }
}

TEST_P(CpuPackTest, Mxfp4IsWhatTransformersMakesOfIt) {
  std::ifstream file(QUIRE_SOURCE_DIR "/tests/golden/mxfp4.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  const int64_t rows = golden.at("rows");
  const int64_t in = golden.at("in_features");
  const auto blocks = golden.at("blocks").get<std::vector<uint8_t>>();
  const auto scales = golden.at("scales").get<std::vector<uint8_t>>();
  const auto bits = golden.at("bfloat16_bits").get<std::vector<uint16_t>>();
  for (DType act : kActs) {
    for (int64_t expert = 0; expert < golden.at("experts").get<int64_t>(); ++expert) {
      // Even rows are the gate's, odd ones up's.
      LinearSpec spec{"test", in, {}, act};
      for (int64_t part : {0, 1}) {
        const int64_t first = (expert * rows + part) * in;
        WeightRows some{blocks.data() + first / 2, DType::kBFloat16, rows / 2};
        some.row_stride = 2 * in;
        some.mxfp4_scales = scales.data() + first / 32;
        spec.parts.push_back(some);
      }
      ExpectPacksExactly(spec);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < in; ++i) {
          const float want = ToFloat(bf16{bits[(expert * in + i) * rows + row]});
          ASSERT_EQ(LoadWeight(spec.parts[row % 2], in, row / 2, i), want) << row << " " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuPackTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
