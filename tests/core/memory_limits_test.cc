#include "core/cpu/memory_limits.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

class MemoryLimitsTest : public ::testing::Test {
 protected:
  MemoryLimitsTest() {
    Write("proc/meminfo", "MemTotal:       9000 kB\nMemFree:  10 kB\nMemAvailable:   1000 kB\n");
  }
  void Write(const std::string& file, const std::string& text) { root_.Write(file, text); }
  MemoryLimits Read() const { return ReadMemoryLimits(root_.path()); }

 private:
  testing::TempDir root_;  // a made-up /proc and /sys
};

TEST_F(MemoryLimitsTest, WithoutGroupsTheMachineDecides) {
  EXPECT_EQ(Read().available_bytes(), 1000U * 1024);
  EXPECT_FALSE(Read().cgroup_bytes.has_value());
}

TEST_F(MemoryLimitsTest, Version2TakesTheTightestGroupAbove) {
  Write("proc/self/cgroup", "0::/a/b\n");
  Write("sys/fs/cgroup/a/b/memory.max", "max\n");
  Write("sys/fs/cgroup/a/b/memory.current", "5000\n");
  Write("sys/fs/cgroup/a/memory.max", "100000\n");
  Write("sys/fs/cgroup/a/memory.current", "30000\n");
  Write("sys/fs/cgroup/a/memory.stat", "anon 10\nfile 20\ninactive_file 5000\n");
  EXPECT_EQ(Read().cgroup_bytes, 75000U);
  EXPECT_EQ(Read().available_bytes(), 75000U);
}

TEST_F(MemoryLimitsTest, Version2InAContainerIsTheRootGroup) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "200000\n");
  Write("sys/fs/cgroup/memory.current", "150000\n");
  EXPECT_EQ(Read().available_bytes(), 50000U);
}

TEST_F(MemoryLimitsTest, Version1LimitsToo) {
  Write("proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/not/mounted/here\n0::/\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "90000\n");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
  Write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 40000\n");
  EXPECT_EQ(Read().available_bytes(), 30000U);
}

TEST_F(MemoryLimitsTest, Version1WithoutALimitIsNone) {
  Write("proc/self/cgroup", "4:memory:/\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
  EXPECT_FALSE(Read().cgroup_bytes.has_value());
}

TEST_F(MemoryLimitsTest, AGroupOverItsLimitHasNothingLeft) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "1000\n");
  Write("sys/fs/cgroup/memory.current", "1500\n");
  EXPECT_EQ(Read().available_bytes(), 0U);
}

}  // namespace
}  // namespace quire
