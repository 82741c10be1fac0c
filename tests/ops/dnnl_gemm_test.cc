// oneDNN's products have the bits of our kernels, so that who computes a row changes nothing.
#include "ops/cpu/dnnl_gemm.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/gemm.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;

class DnnlGemmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (DetectCpu().widest != CpuIsa::kAvx512Bf16) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  }

  ThreadPool pool_{2};
  HostMemory memory_{pool_};
};

TEST_F(DnnlGemmTest, BitsDoNotDependOnWhoMultiplies) {
  const OpsKernels& kernels = OpsKernelsFor(CpuIsa::kAvx512Bf16);
  int used = 0;
  for (int64_t k : {64, 512, 544, 1024, 1056, 2048}) {
    const LinearSource source(k, DType::kBFloat16, {{1100, DType::kBFloat16, true}});
    const auto linear = PackedLinear::Pack(source.spec(), kernels, pool_, memory_).value();
    Gemm ours(CpuIsa::kAvx512Bf16, pool_, memory_, 500, false);
    Gemm theirs(CpuIsa::kAvx512Bf16, pool_, memory_, 500, true);
    ASSERT_TRUE(ours.Prepare(*linear).ok());
    ASSERT_TRUE(theirs.Prepare(*linear).ok());
    EXPECT_FALSE(ours.UsesOneDnn(*linear));
    used += theirs.UsesOneDnn(*linear) ? 1 : 0;
    for (int64_t m : {63, 64, 65, 200, 500}) {
      HostMatrix x(DType::kBFloat16, m, k);
      x.FillNormal(1);
      HostMatrix y(DType::kBFloat16, m, 1100);
      HostMatrix want(DType::kBFloat16, m, 1100);
      const Product wanted{linear.get(), x.view(), want.view()};
      const Product got{linear.get(), x.view(), y.view()};
      ours.Run(absl::MakeConstSpan(&wanted, 1));
      theirs.Run(absl::MakeConstSpan(&got, 1));
      EXPECT_TRUE(y.SameBits(want)) << "K " << k << " M " << m;
    }
  }
  RecordProperty("shapes_on_onednn", used);
  if (used == 0) GTEST_SKIP() << "this oneDNN has no product that qualifies";
}

// The number that the kernel below gets wrong.
struct Wrong {
  int64_t call;  // of the kernel: the panel
  int64_t row;
  int64_t column;
};
Wrong wrong;

// A sum that differs in its last bit, as one in another order would, wherever it is: the check must
// see it.
TEST_F(DnnlGemmTest, AnotherOrderOfSummationIsRefused) {
  OpsKernels kernels = OpsKernelsFor(CpuIsa::kAvx512Bf16);
  DnnlGemm right(kernels, 1);
  if (!right.Prepare(DType::kBFloat16, 1024, 3)) GTEST_SKIP() << "this oneDNN does not qualify";
  kernels.gemm[1] = [](const PanelGemmArgs& args) {
    OpsKernelsFor(CpuIsa::kAvx512Bf16).gemm[1](args);
    if (wrong.call-- != 0) return;
    float& number = static_cast<float*>(args.y)[wrong.row * args.y_stride + wrong.column];
    number = std::nextafter(number, 1e30F);
  };
  for (Wrong place : {Wrong{0, 0, 0}, Wrong{0, 0, 63}, Wrong{1, 63, 5}, Wrong{2, 64, 0},
                      Wrong{1, 127, 63}, Wrong{0, 128, 17}, Wrong{2, 255, 63}}) {
    wrong = place;
    DnnlGemm dnnl(kernels, 1);
    EXPECT_FALSE(dnnl.Prepare(DType::kBFloat16, 1024, 3)) << place.call << " " << place.row;
    EXPECT_EQ(dnnl.Find(DType::kBFloat16, 1024, 3), nullptr);
  }
}

TEST_F(DnnlGemmTest, UnpreparedShapesAreNotFound) {
  const DnnlGemm dnnl(OpsKernelsFor(CpuIsa::kAvx512Bf16), 1);
  EXPECT_EQ(dnnl.Find(DType::kBFloat16, 1024, 1), nullptr);
}

}  // namespace
}  // namespace quire
