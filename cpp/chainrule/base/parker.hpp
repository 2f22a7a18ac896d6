// A place where one thread waits for another's store: first spinning, then parked. Used by
// base/thread_pool.cpp.
//
// A mutex and a condition variable, for std::atomic::wait differs between libraries: GCC 12's goes
// through a shared table of proxies for 64-bit values, which a forked child inherits.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/wake_placement.hpp"

#if defined(_M_X64) || defined(_M_ARM64)
#include <intrin.h>
#endif

namespace chainrule {

// Tells the processor that this is a loop that waits.
inline void relax_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#elif defined(_M_ARM64)
  __yield();
#endif
}

class Parker {
 public:
  // Returns when `is_ready()`, which must load what the waker stores with
  // std::memory_order_seq_cst. One thread at a time.
  template <bool kYields, class IsReady>
  void wait(const IsReady& is_ready) {
    while (!spin<kYields>(is_ready)) {
      std::unique_lock lock(mutex_);
      if (!park(is_ready)) return;
      placement_.begin_sleep();
      condition_.wait(lock, [&] { return !is_parked(); });
      placement_.end_sleep();
      // Woken too late, perhaps: spin again, since where one region was, the next is near.
    }
  }

  // The same, and calls `poll()` whenever it has been parked for kPollInterval.
  template <bool kYields, class IsReady, class Poll>
  void wait(const IsReady& is_ready, const Poll& poll) {
    while (!spin<kYields>(is_ready)) {
      std::unique_lock lock(mutex_);
      if (!park(is_ready)) return;
      if (condition_.wait_for(lock, kPollInterval, [&] { return !is_parked(); })) continue;
      is_parked_.store(false, std::memory_order_relaxed);
      lock.unlock();
      poll();
    }
  }

  // A guess: by the time it is used it may be wrong.
  bool is_parked() const { return is_parked_.load(std::memory_order_relaxed); }

  // After a sequentially consistent store that makes the waiting thread ready. Any thread.
  // `kElsewhere`, for a thread that waits without polling: it should run beside the waker.
  template <bool kElsewhere>
  void wake() {
    if (!is_parked_.load(std::memory_order_seq_cst)) return;
    {
      const std::lock_guard lock(mutex_);
      if (kElsewhere && is_parked()) placement_.keep_off_this_processor();
      is_parked_.store(false, std::memory_order_relaxed);
    }
    condition_.notify_one();
  }

 private:
  using Clock = std::chrono::steady_clock;
  // About what it costs to park and to be woken, so that waiting never costs more than twice the
  // better of the two; and little of a time slice when processors are short.
  static constexpr std::chrono::microseconds kSpin{50};
  static constexpr int kLooksPerClock = 32;
  static constexpr std::chrono::milliseconds kPollInterval{20};

  // With the mutex held; false when there is nothing to wait for any more.
  template <class IsReady>
  bool park(const IsReady& is_ready) {
    // Either the waker sees this store, or is_ready() sees the waker's: all four operations are
    // sequentially consistent. A waker that saw it takes the mutex, thus cannot notify too early.
    is_parked_.store(true, std::memory_order_seq_cst);
    if (!is_ready()) return true;
    is_parked_.store(false, std::memory_order_relaxed);
    return false;
  }

  template <bool kYields, class IsReady>
  static bool spin(const IsReady& is_ready) {
    Clock::time_point end{};
    for (bool is_first = true;; is_first = false) {
      for (int i = 0; i < kLooksPerClock; ++i) {
        if (is_ready()) return true;
        relax_processor();
      }
      const Clock::time_point now = Clock::now();
      if (is_first) {
        end = now + kSpin;
      } else if (now >= end) {
        return false;
      }
      if (kYields) std::this_thread::yield();
    }
  }

  std::atomic<bool> is_parked_{false};
  std::mutex mutex_;
  std::condition_variable condition_;
  WakePlacement placement_;
};

}  // namespace chainrule
