#include "core/cpu/thread_pool.h"

#include <immintrin.h>

#include <chrono>

#include "core/check.h"

namespace quire {
namespace {

constexpr uint32_t kOpen = 1U << 31;

// Longer than the serial work between two ops of a step, shorter than a scheduler's quantum: a
// thread that waits for more gives its core away.
constexpr std::chrono::microseconds kSpin{50};

thread_local bool inside_task = false;

// Returns once `word` differs from `old`, with the new value: spins a while, then sleeps.
uint32_t AwaitChange(const std::atomic<uint32_t>& word, uint32_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      const uint32_t now = word.load(std::memory_order_acquire);
      if (now != old) return now;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  QUIRE_CHECK_GE(num_threads, 1);
  workers_.reserve(num_threads - 1);
  for (int thread = 1; thread < num_threads; ++thread) {
    workers_.emplace_back([this, thread] { Work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t num_tasks, Body body) {
  QUIRE_CHECK(!inside_task) << "a task may not fork";
  if (num_tasks <= 0) return;
  const std::lock_guard<std::mutex> lock(turn_);
  next_task_.store(0, std::memory_order_relaxed);
  if (num_tasks == 1 || workers_.empty()) {
    RunTasks(body, num_tasks, 0);
    return;
  }
  body_ = &body;
  num_tasks_ = num_tasks;
  gate_.store(kOpen, std::memory_order_release);  // publishes the job to those who join
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  RunTasks(body, num_tasks, 0);
  CloseAndAwaitEmpty();
}

void ThreadPool::RunTasks(Body body, int64_t num_tasks, int thread) {
  inside_task = true;
  for (;;) {
    const int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= num_tasks) break;
    body(task, thread);
  }
  inside_task = false;
}

void ThreadPool::Work(int thread) {
  uint32_t seen = 0;
  for (;;) {
    seen = AwaitChange(jobs_, seen);
    if (stop_.load(std::memory_order_relaxed)) return;
    if (!Join()) continue;
    RunTasks(*body_, num_tasks_, thread);
    Leave();
  }
}

bool ThreadPool::Join() {
  uint32_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kOpen) != 0) {
    // Acquire pairs with the store that opened the gate: the job is visible.
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::Leave() {
  // Release: what this worker's tasks wrote is visible to the caller that sees the gate empty.
  if (gate_.fetch_sub(1, std::memory_order_release) == 1) gate_.notify_one();
}

void ThreadPool::CloseAndAwaitEmpty() {
  uint32_t gate = gate_.fetch_and(~kOpen, std::memory_order_acquire) & ~kOpen;
  while (gate != 0) gate = AwaitChange(gate_, gate);
}

}  // namespace quire
