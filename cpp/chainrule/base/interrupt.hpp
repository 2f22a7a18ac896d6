// Lets a long computation be stopped: loops ask `stop_requested()` between blocks of work. The
// owner (the bindings) gives a function that may take long, such as one that takes Python's GIL;
// it is called at most every kPollInterval. Used by ops, network and training.
#pragma once

#include <chrono>

namespace chainrule {

class Interrupt {
 public:
  using Poll = bool (*)();  // true: stop

  Interrupt() = default;
  explicit Interrupt(Poll poll) : poll_(poll), next_(Clock::now() + kPollInterval) {}

  // Cheap (reads a clock, some 25 ns): call it every ten microseconds of work or more.
  bool stop_requested() {
    if (poll_ == nullptr) return false;
    if (!stopped_ && Clock::now() >= next_) {
      stopped_ = poll_();
      next_ = Clock::now() + kPollInterval;
    }
    return stopped_;
  }
  // Whether it was stopped at the last poll.
  bool is_stopped() const { return stopped_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPollInterval{20};

  Poll poll_ = nullptr;
  bool stopped_ = false;
  Clock::time_point next_{};
};

}  // namespace chainrule
