// Lets a long computation be stopped: loops ask `stop_requested()` between blocks of work. The
// owner (the bindings) gives a function that may take long, such as one that takes Python's GIL;
// it is called at most every kPollInterval, by the thread that called; other threads that work for
// it ask `is_stopped()`. Used by ops, network and training.
#pragma once

#include <atomic>
#include <chrono>

namespace chainrule {

class Interrupt {
 public:
  using Poll = bool (*)();  // true: stop

  Interrupt() = default;
  explicit Interrupt(Poll poll) { begin(poll); }

  // Forgets an earlier stop and asks `poll` from now on; `end` asks nobody.
  void begin(Poll poll) {
    poll_ = poll;
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
    return Clock::now() >= next_ ? stop_requested_now() : is_stopped();
  }
  // Polls whatever the time.
  bool stop_requested_now() {
    if (poll_ != nullptr && !is_stopped()) {
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

  Poll poll_ = nullptr;
  std::atomic<bool> stopped_{false};
  Clock::time_point next_{};
};

}  // namespace chainrule
