// The process's one pool of threads, and its one way to use them: parallel_for. Used by ops,
// network and training; uses the rest of base. No OpenMP, whose threads do not survive a fork.
//
// Threads are made when first needed, spin for some tens of microseconds after a region, then park.
// After a fork the child makes its own. They take no signals, round to nearest and flush denormals
// to zero; the caller's floating-point state is its own affair (FlushToZero) and never touched.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/parker.hpp"

namespace chainrule {

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 1024;

  static ThreadPool& instance();

  constexpr ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls body(int worker, int64_t index) once for every index in [0, count), in any order, and
  // returns when all are done, with their writes visible. At most `threads` threads take part: the
  // caller, which is worker 0, and pool threads with other numbers below `threads`; one worker runs
  // one body at a time, and so can own scratch. With fewer than two threads or indices, and while
  // another thread's region or an outer one has the pool, the caller runs all alone, in order.
  //
  // A body does not throw (the program would end) and does not fork. Allocates nothing but threads,
  // and only when more are asked for than ever before. While the caller has no more to do and
  // others have, it calls poll() some fifty times a second.
  template <class Body, class Poll>
  void parallel_for(int threads, int64_t count, const Body& body, const Poll& poll) {
    const auto call = [](const void* erased, int worker, int64_t index) noexcept {
      (*static_cast<const Body*>(erased))(worker, index);
    };
    if (threads <= 1 || count <= 1) {
      for (int64_t index = 0; index < count; ++index) call(&body, 0, index);
    } else {
      const auto call_poll = [](const void* erased) { (*static_cast<const Poll*>(erased))(); };
      run(threads, count, {call, &body}, {call_poll, &poll});
    }
  }
  template <class Body>
  void parallel_for(int threads, int64_t count, const Body& body) {
    parallel_for(threads, count, body, [] {});
  }

  // Whether a region would first have to make or to wake threads, which costs the caller
  // microseconds and brings help later still. A guess, for who may do without.
  bool is_asleep() const {
    const Parker* first = first_.load(std::memory_order_acquire);
    return first == nullptr || first->is_parked();
  }

 private:
  // A body or a poll without its type.
  struct AnyBody {
    void (*call)(const void* body, int worker, int64_t index) noexcept;
    const void* body;
    void operator()(int worker, int64_t index) const { call(body, worker, index); }
  };
  struct AnyPoll {
    void (*call)(const void* poll);
    const void* poll;
    void operator()() const { call(poll); }
  };

  void run(int threads, int64_t count, AnyBody body, AnyPoll poll);
  void run_region(int threads, int64_t count, AnyBody body, AnyPoll poll);
  bool claim(int worker, int64_t& index);
  int64_t run_claimed(int worker);
  void finish(int64_t ran);
  int add_threads(int threads);
  bool start_thread(int worker);
  void work(int worker);
  bool register_fork_handler();
  void forget_threads();

  // The ticket: how many indices nobody has claimed yet, and above those bits how many threads may
  // claim one.
  static constexpr int kThreadsShift = 48;
  static constexpr uint64_t kUnclaimedMask = (uint64_t{1} << kThreadsShift) - 1;
  static bool is_open_to(int worker, uint64_t ticket) {
    return (ticket & kUnclaimedMask) != 0 &&
           static_cast<uint64_t>(worker) < ticket >> kThreadsShift;
  }

  // The region: one cache line, so that a thread that joins fetches one. All but the ticket and
  // `unfinished_` may be read only by who has claimed an index and not yet finished it.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> unfinished_{0};  // indices, claimed or not
  int64_t count_ = 0;
  AnyBody body_{};

  alignas(64) std::atomic<bool> is_busy_{false};  // the rest belongs to who has set it
  bool can_start_ = true;                         // until a thread could not be made
  int started_ = 0;                               // pool threads, numbered 1 to started_
  std::array<Parker*, kMaxThreads> parkers_{};    // by worker; leaked like the threads
  std::atomic<bool> handles_fork_{false};
  std::atomic<const Parker*> first_{nullptr};  // of the first pool thread, once it is made
};

}  // namespace chainrule
