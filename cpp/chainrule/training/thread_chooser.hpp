// How many of the threads that it may use a short step that comes again and again is best taken
// with: it tries. What threads cost a step of microseconds depends on how far apart the processors
// are and who else is on them, which no model of the work knows. Any number gives the same bits.
// Used by training/trainer.cpp, which measures the time.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace chainrule {

class ThreadChooser {
 public:
  // Before a step of `work` multiply-adds on at most `most` threads; other ones than the last
  // time's start the choice anew. Long steps gain from threads for certain, and are not tried out.
  void prepare(int most, int64_t work) {
    if (most == most_ && work == work_) return;
    most_ = most;
    work_ = work;
    candidates_ = 0;
    for (int threads = most; candidates_ < kMostCandidates; threads = (threads + 1) / 2) {
      threads_[static_cast<size_t>(candidates_++)] = threads;
      if (threads <= 1) break;
    }
    if (work > kMostWork) candidates_ = 1;
    best_ = -1;
    rest_ = kFirstRest;
    start_trial();
  }

  // For the next step.
  int threads() const { return threads_[static_cast<size_t>(is_resting_ ? best_ : candidate_)]; }

  // Call after a step, with its time.
  void took(int64_t nanoseconds) {
    if (candidates_ <= 1) return;
    if (is_resting_) {
      elapsed_ += nanoseconds;
      if (elapsed_ >= rest_) start_trial();
      return;
    }
    trial_ += nanoseconds;
    // The first step of a turn wakes threads and moves data between caches.
    if (!has_begun_) {
      has_begun_ = true;
      return;
    }
    elapsed_ += nanoseconds;
    ++steps_;
    if (elapsed_ < kTurn) return;
    int64_t& best = times_[static_cast<size_t>(candidate_)];
    best = std::min(best, elapsed_ / steps_);
    start_turn((candidate_ + 1) % candidates_);
    if (candidate_ == 0 && ++round_ == kRounds) finish_trial();
  }

 private:
  // Some hundred microseconds of products on one thread.
  static constexpr int64_t kMostWork = int64_t{1} << 24;
  static constexpr int kMostCandidates = 11;  // 1024, 512, ... 1
  // A trial gives each candidate a turn in each round and compares their best turns, since the
  // others were disturbed; nanoseconds. After the first, a rest is at least kRests trials long.
  static constexpr int kRounds = 3, kRests = 100;
  static constexpr int64_t kTurn = 100'000, kFirstRest = 10'000'000, kLongestRest = 160'000'000;

  void start_trial() {
    is_resting_ = false;
    round_ = 0;
    trial_ = 0;
    times_.fill(INT64_MAX);
    start_turn(0);
  }
  void start_turn(int candidate) {
    candidate_ = candidate;
    has_begun_ = false;
    elapsed_ = 0;
    steps_ = 0;
  }
  void finish_trial() {
    const auto end = times_.begin() + candidates_;
    const int winner = static_cast<int>(std::min_element(times_.begin(), end) - times_.begin());
    const bool is_confirmed = winner == best_;
    rest_ =
        is_confirmed ? std::max(std::min(2 * rest_, kLongestRest), kRests * trial_) : kFirstRest;
    best_ = winner;
    is_resting_ = true;
    elapsed_ = 0;
  }

  int most_ = 0;
  int64_t work_ = 0;
  std::array<int, kMostCandidates> threads_{1};
  std::array<int64_t, kMostCandidates> times_{};  // of a step, by candidate
  int candidates_ = 0, candidate_ = 0, best_ = 0, round_ = 0;
  bool is_resting_ = false, has_begun_ = false;
  int64_t elapsed_ = 0, steps_ = 0, trial_ = 0, rest_ = 0;
};

}  // namespace chainrule
