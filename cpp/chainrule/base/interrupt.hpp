// Lets a long computation be stopped: loops ask `stop_requested()` between blocks of work. The
// owner (the bindings) gives a function that may take long, such as one that takes Python's GIL;
// the thread that gave it calls it, at most every kPollInterval. Threads that work for that one ask
// the same interrupt and learn what it learned. The caller of an operation makes it and gives
// it to its teams (ops/team.hpp).
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace chainrule {

class Interrupt {
 public:
  using Poll = bool (*)();  // true: stop

  Interrupt() = default;
  explicit Interrupt(Poll poll) { begin(poll); }

  // Forgets an earlier stop and asks `poll` from now on, on this thread; `end` asks nobody. No
  // other thread may be working.
  void begin(Poll poll) {
    poll_ = poll;
    thread_ = std::this_thread::get_id();
    stopped_.store(false, std::memory_order_relaxed);
    next_ = Clock::now() + kPollInterval;
  }
  void end() {
    poll_ = nullptr;
    stopped_.store(false, std::memory_order_relaxed);
  }

  // Cheap (reads a clock, some 25 ns): call it every ten microseconds of work or more.
  bool stop_requested() {
    if (poll_ == nullptr) return false;
    return may_poll() && Clock::now() >= next_ ? stop_requested_now() : is_stopped();
  }
  // Polls whatever the time.
  bool stop_requested_now() {
    if (poll_ != nullptr && may_poll() && !is_stopped()) {
      stopped_.store(poll_(), std::memory_order_relaxed);
      next_ = Clock::now() + kPollInterval;
    }
    return is_stopped();
  }
  // Whether it was stopped at the last poll.
  bool is_stopped() const { return stopped_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPollInterval{20};

  bool may_poll() const { return std::this_thread::get_id() == thread_; }

  Poll poll_ = nullptr;
  std::thread::id thread_;
  std::atomic<bool> stopped_{false};
  Clock::time_point next_{};
};

}  // namespace chainrule
