#include "server/model_directory.h"

#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

TEST(ModelDirectory, NeedsAConfig) {
  const testing::TempDir directory;
  EXPECT_TRUE(absl::IsNotFound(CheckModelDirectory(directory.path())));
  const std::string config = directory.Write("config.json", "{}");
  EXPECT_TRUE(CheckModelDirectory(directory.path()).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(CheckModelDirectory(config)));
}

}  // namespace
}  // namespace quire
