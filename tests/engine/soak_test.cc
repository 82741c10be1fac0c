// The soak on the CPU, at a size for every day.
#include "tests/engine/soak.h"
#include "gtest/gtest.h"

namespace quire::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(
    , Soak,
    ::testing::Values(SoakCase{.model = "gpt_oss", .requests = 3000, .backend = {.device = "cpu"}},
                      SoakCase{
                          .model = "deepseek_v3", .requests = 3000, .backend = {.device = "cpu"}}),
    SoakName);

}  // namespace
}  // namespace quire::testing
