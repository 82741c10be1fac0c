// Nothing is allocated on the step path.
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/testing/allocations.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::Allocations;
using ::quire::testing::CpuMlaBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;
using ::quire::testing::UpProjection;

class CpuMlaAllocationTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuMlaAllocationTest, AStepAllocatesNothing) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  const MlaShape shape = {4, 32, 16, 8, 16};
  CpuMlaBackend backend(GetParam(), shape, DType::kBFloat16);
  PagedKv kv(testing::CacheShape(shape), 16, DType::kBFloat16, {{1, 1500}, {30, 600}});
  kv.FillNormal(1);
  const RopeTables rope(2000, shape.rope_dim);
  HostMatrix latent(DType::kBFloat16, 31, shape.cache_dim());
  HostMatrix q(DType::kBFloat16, 31, shape.q_width());
  HostMatrix q_latent(DType::kBFloat16, 1, shape.latent_width());
  HostMatrix o_latent(DType::kBFloat16, 1, shape.latent_width());
  HostMatrix out(DType::kBFloat16, 31, shape.out_width());
  latent.FillNormal(2);
  q.FillNormal(3);
  q_latent.FillNormal(4);
  UpProjection projection(shape);
  const int64_t before = Allocations();
  backend.mla().NormRopeWrite(
      {latent.view(), q.view(), shape, nullptr, 1e-6F, rope.view(), kv.view()}, kv.batch());
  backend.mla().Absorbed(
      {q_latent.view(), q.view().Rows(0, 1), o_latent.view(), 0, shape, 0.1F, kv.view()},
      kv.batch());
  backend.mla().Prefill(
      {q.view(), out.view(), 1, shape, 0.1F, kv.view()}, kv.batch(),
      [&](const DeviceMatrix& c, const DeviceMatrix& expanded) { projection.Apply(c, expanded); });
  EXPECT_EQ(Allocations() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuMlaAllocationTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
