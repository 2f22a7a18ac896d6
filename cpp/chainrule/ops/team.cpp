#include "ops/team.hpp"

#include <algorithm>
#include <atomic>

namespace chainrule {
namespace {

std::atomic<int> count{0};  // 0: not known yet

}  // namespace

int thread_count() {
  int threads = count.load(std::memory_order_relaxed);
  if (threads == 0) {
    threads = default_thread_count();
    // Whoever has set it meanwhile wins.
    int unknown = 0;
    if (!count.compare_exchange_strong(unknown, threads)) threads = unknown;
  }
  return threads;
}

void set_thread_count(int threads) {
  count.store(std::clamp(threads, 0, ThreadPool::kMaxThreads), std::memory_order_relaxed);
}

}  // namespace chainrule
