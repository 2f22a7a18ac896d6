// Where a woken thread runs. Linux often puts it on the processor of the thread that woke it,
// though another is idle, and moves it milliseconds later: two threads then take turns on one
// processor. Used by base/parker.hpp; does nothing on other systems. A thread that was woken so
// once keeps the processors that it had at that time, whatever is added to the machine later.
#pragma once

#if defined(__linux__) && !defined(__ANDROID__)
#include <pthread.h>
#include <sched.h>
#endif

namespace chainrule {

// Belongs to a thread that is about to sleep; both sides hold the same mutex.
class WakePlacement {
 public:
#if defined(__linux__) && !defined(__ANDROID__)
  // By the sleeper, before it sleeps and after it woke.
  void begin_sleep() { sleeper_ = pthread_self(); }
  void end_sleep() {
    if (!is_displaced_) return;
    is_displaced_ = false;
    pthread_setaffinity_np(sleeper_, sizeof(own_), &own_);
  }

  // By the waker, before it wakes the sleeper: takes the waker's processor from those that the
  // sleeper may run on, if others are left. Should a call fail, the kernel places it as it likes.
  void keep_off_this_processor() {
    const int processor = sched_getcpu();
    if (processor < 0 || processor >= CPU_SETSIZE) return;
    if (pthread_getaffinity_np(sleeper_, sizeof(own_), &own_) != 0) return;
    if (!CPU_ISSET(processor, &own_) || CPU_COUNT(&own_) < 2) return;
    cpu_set_t others = own_;
    CPU_CLR(processor, &others);
    is_displaced_ = pthread_setaffinity_np(sleeper_, sizeof(others), &others) == 0;
  }

 private:
  pthread_t sleeper_{};
  cpu_set_t own_{};
  bool is_displaced_ = false;
#else
  void begin_sleep() {}
  void end_sleep() {}
  void keep_off_this_processor() {}
#endif
};

}  // namespace chainrule
