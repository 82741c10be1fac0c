#include "core/cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(ThreadPool, EachTaskRunsOnce) {
  ThreadPool pool(4);
  for (int64_t tasks : {0, 1, 2, 3, 4, 5, 100, 1000}) {
    std::vector<int> runs(tasks, 0);
    pool.ParallelFor(tasks, [&](int64_t task, int /*thread*/) { ++runs[task]; });
    EXPECT_EQ(runs, std::vector<int>(tasks, 1));
  }
}

TEST(ThreadPool, OneThreadRunsInOrderOnItsCaller) {
  ThreadPool pool(1);
  std::vector<int64_t> order;
  const std::thread::id caller = std::this_thread::get_id();
  pool.ParallelFor(5, [&](int64_t task, int thread) {
    EXPECT_EQ(thread, 0);
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(task);
  });
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

TEST(ThreadPool, AThreadNumberIsNeverUsedTwiceAtOnce) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> busy(3);
  for (int round = 0; round < 200; ++round) {
    pool.ParallelFor(16, [&](int64_t /*task*/, int thread) {
      ASSERT_GE(thread, 0);
      ASSERT_LT(thread, 3);
      EXPECT_EQ(busy[thread].fetch_add(1), 0);
      busy[thread].fetch_sub(1);
    });
  }
}

TEST(ThreadPool, TasksSeeTheCallersWritesAndTheCallerSeesTheirs) {
  ThreadPool pool(4);
  std::vector<int64_t> in(64);
  std::vector<int64_t> out(64);
  for (int64_t round = 0; round < 2000; ++round) {
    for (size_t i = 0; i < in.size(); ++i) in[i] = round + static_cast<int64_t>(i);
    pool.ParallelFor(static_cast<int64_t>(in.size()),
                     [&](int64_t task, int /*thread*/) { out[task] = 2 * in[task]; });
    for (size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], 2 * in[i]);
  }
}

TEST(ThreadPool, SleepingWorkersWakeUp) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // past the spin
    // Neither task ends before both have begun, so a second thread must come.
    std::atomic<int> begun{0};
    pool.ParallelFor(2, [&](int64_t /*task*/, int /*thread*/) {
      begun.fetch_add(1);
      while (begun.load() < 2) std::this_thread::yield();
    });
  }
}

TEST(ThreadPool, CallersTakeTurns) {
  ThreadPool pool(3);
  int64_t sum = 0;  // unguarded but for the pool: one job at a time, one task in it
  std::vector<std::thread> callers;
  callers.reserve(3);
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        pool.ParallelFor(1, [&](int64_t /*task*/, int /*thread*/) { ++sum; });
        pool.ParallelFor(4, [&](int64_t task, int /*thread*/) {
          if (task == 0) ++sum;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 3 * 200 * 2);
}

TEST(ThreadPool, WorksWithMoreThreadsThanCores) {
  ThreadPool pool(static_cast<int>(std::thread::hardware_concurrency()) * 4);
  std::atomic<int64_t> sum{0};
  for (int round = 0; round < 200; ++round) {
    pool.ParallelFor(32, [&](int64_t task, int /*thread*/) { sum.fetch_add(task); });
  }
  EXPECT_EQ(sum.load(), 200 * 32 * 31 / 2);
}

TEST(ThreadPoolDeathTest, ATaskMayNotFork) {
  EXPECT_DEATH(
      {
        ThreadPool pool(1);
        pool.ParallelFor(1, [&](int64_t /*task*/, int /*thread*/) {
          pool.ParallelFor(1, [](int64_t /*task*/, int /*thread*/) {});
        });
      },
      "may not fork");
}

}  // namespace
}  // namespace quire
