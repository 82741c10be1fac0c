#include "core/cpu/usable_cpus.h"

#include <sched.h>

#include <algorithm>

#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

int AffinityCpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

TEST(UsableCpus, WithoutAQuotaTheAffinityMaskDecides) {
  testing::TempDir root;
  EXPECT_EQ(UsableCpus(root.path()), AffinityCpus());
  root.Write("proc/self/cgroup", "0::/\n");
  root.Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(UsableCpus(root.path()), AffinityCpus());
}

TEST(UsableCpus, AQuotaOfTheGroupOrOfOneAboveItIsRoundedUp) {
  testing::TempDir root;
  root.Write("proc/self/cgroup", "0::/pod/container\n");
  root.Write("sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
  root.Write("sys/fs/cgroup/pod/cpu.max", "130000 100000\n");
  EXPECT_EQ(UsableCpus(root.path()), std::min(2, AffinityCpus()));
  root.Write("sys/fs/cgroup/pod/container/cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableCpus(root.path()), 1);
}

TEST(UsableCpus, Version1HasQuotasToo) {
  testing::TempDir root;
  root.Write("proc/self/cgroup", "3:cpu,cpuacct:/a\n");
  root.Write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  root.Write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(UsableCpus(root.path()), AffinityCpus());
  root.Write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(UsableCpus(root.path()), 1);
}

}  // namespace
}  // namespace quire
