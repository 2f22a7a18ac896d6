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
  // another thread's region or an outer one has the pool, the caller runs all indices itself, in
  // order; also with more than 2^26 - 1 indices.
  //
  // Each worker has an equal range of the indices, the same whenever threads and count are, so that
  // what it wrote in one region is in its caches in the next; a finished worker takes from others.
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
    const Worker* first = first_.load(std::memory_order_acquire);
    return first == nullptr || first->parker.is_parked();
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
  bool claim(int worker, int victim, int64_t& index);
  int64_t run_claimed(int worker, int team);
  void finish(int64_t ran);
  int add_threads(int threads);
  bool start_thread(int worker);
  void work(int worker);
  bool register_fork_handler();
  void forget_threads();

  // The indices of a worker's range that nobody has claimed yet, and how many threads may claim
  // one: in one word, to be swapped as a whole.
  struct Range {
    static constexpr int kBits = 26;
    static constexpr int64_t kMost = (int64_t{1} << kBits) - 1;

    explicit Range(uint64_t word)
        : begin(static_cast<int64_t>(word) & kMost),
          end(static_cast<int64_t>(word >> kBits) & kMost),
          threads(static_cast<int>(word >> (2 * kBits))) {}
    Range(int64_t first, int64_t after, int team) : begin(first), end(after), threads(team) {}
    uint64_t word() const {
      return static_cast<uint64_t>(begin) | static_cast<uint64_t>(end) << kBits |
             static_cast<uint64_t>(threads) << (2 * kBits);
    }

    int64_t begin, end;
    int threads;
  };

  // Two cache lines or more for each: its own thread polls the range.
  struct alignas(64) Worker {
    std::atomic<uint64_t> range{0};
    alignas(64) Parker parker;
  };

  // The region. Except for `unfinished_`, read only by a thread with a claimed, unfinished index.
  alignas(64) std::atomic<int64_t> unfinished_{0};  // indices, claimed or not
  AnyBody body_{};

  alignas(64) std::atomic<bool> is_busy_{false};  // the rest belongs to the thread that set it
  bool can_start_ = true;                         // until a thread could not be made
  int started_ = 0;                               // pool threads, numbered 1 to started_
  std::array<Worker*, kMaxThreads> workers_{};    // leaked like the threads
  std::atomic<bool> handles_fork_{false};
  std::atomic<const Worker*> first_{nullptr};  // of the pool's threads, once it is made
};

}  // namespace chainrule
