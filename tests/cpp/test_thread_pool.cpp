// ThreadPool: every index once, writes visible, regions at once and within one another, forks, and
// the state that its threads run bodies in.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "base/flush_to_zero.hpp"
#include "base/thread_pool.hpp"

#if !defined(_WIN32)
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using chainrule::FlushToZero;
using chainrule::ThreadPool;

ThreadPool& pool() { return ThreadPool::instance(); }

constexpr int64_t kMostIndices = 1000;

// A region in which each index adds to a place of its own and each worker to its own scratch,
// neither of them atomic: true if every index was run once by a worker that may take part. Arrays
// on the stack, since a fork during an allocation leaves AddressSanitizer's allocator locked.
bool region_is_right(int threads, int64_t count) {
  int64_t visits[kMostIndices] = {}, by_worker[64] = {};
  pool().parallel_for(threads, count, [&](int worker, int64_t index) {
    visits[index] += index + 1;
    by_worker[worker] += 1;
  });
  for (int64_t i = 0; i < count; ++i) {
    if (visits[i] != i + 1) return false;
  }
  int64_t total = 0;
  for (int worker = 0; worker < threads; ++worker) total += by_worker[worker];
  return total == count;
}

// Runs the body once on each of `threads` threads: none begins before all are there. Hangs where
// the pool has not as many.
template <class Body>
void on_every_thread(int threads, const Body& body) {
  std::atomic<int> present{0};
  pool().parallel_for(threads, threads, [&](int worker, int64_t) {
    present.fetch_add(1);
    while (present.load() < threads) std::this_thread::yield();
    body(worker);
  });
}

void keep_busy(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) continue;
}

// --- forks: first in the file, so that the first of them comes before the pool's first use -------

// Neither ThreadSanitizer nor QEMU 7 lets the child of a process with threads make threads.
#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__) && !defined(CHAINRULE_IS_EMULATED)
template <class Body>
void check_child(const Body& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(10);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  const bool is_right = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  CHECK(is_right);
}

// Leaves three threads that have begun to work: one that is still being made may hold a lock of
// AddressSanitizer's, which a fork at that moment would leave locked.
bool regions_are_right() {
  std::atomic<int> present{0};
  on_every_thread(4, [&](int) { ++present; });
  return present == 4 && region_is_right(4, 100) && region_is_right(2, 7);
}

TEST_CASE("a child of a fork before the first use has a pool") {
  for (int i = 0; i < 50; ++i) check_child(regions_are_right);
}

TEST_CASE("a child of a fork after use has a pool, and so has its own child") {
  for (int i = 0; i < 125; ++i) {
    REQUIRE(regions_are_right());
    if (i % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // threads park
    check_child(regions_are_right);
  }
  for (int i = 0; i < 50; ++i) {
    check_child([] {
      if (!regions_are_right()) return false;
      const pid_t child = fork();
      if (child == 0) {
        alarm(10);
        _exit(regions_are_right() ? 0 : 1);
      }
      int status = 0;
      return waitpid(child, &status, 0) == child && status == 0;
    });
  }
}

TEST_CASE("a child of a fork during another thread's regions has a pool") {
  REQUIRE(regions_are_right());
  std::atomic<bool> is_begun{false}, is_over{false}, is_right{true};
  std::thread other([&] {
    for (int64_t i = 0; !is_over; ++i) {
      is_begun = true;
      if (!region_is_right(4, 2 + i % 50)) is_right = false;
      // So that some forks meet threads that are parked or on their way there.
      if (i % 512 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i % 200));
    }
  });
  while (!is_begun) std::this_thread::yield();
  for (int i = 0; i < 225; ++i) check_child(regions_are_right);
  is_over = true;
  other.join();
  CHECK(is_right);
}

#if defined(__GLIBC__)
TEST_CASE("where no more threads can be made, fewer do the work") {
  check_child([] {
    if (!region_is_right(3, 100)) return false;  // two threads
    pthread_attr_t huge_stack;
    pthread_attr_init(&huge_stack);
    pthread_attr_setstacksize(&huge_stack, size_t{1} << 60);
    if (pthread_setattr_default_np(&huge_stack) != 0) return false;
    std::atomic<int> most{0};
    for (int i = 0; i < 100; ++i) {
      pool().parallel_for(64, 1000, [&](int worker, int64_t) {
        if (worker > most) most = worker;
      });
    }
    return most <= 2 && region_is_right(64, 1000);
  });
}
#endif
#endif

// --- regions -------------------------------------------------------------------------------------

TEST_CASE("every index is run once, for any count and number of threads") {
  for (int threads = 1; threads <= 16; ++threads) {
    int wrong = 0;
    for (int64_t count = 0; count <= kMostIndices; ++count)
      wrong += region_is_right(threads, count) ? 0 : 1;
    CHECK(wrong == 0);
  }
}

TEST_CASE("numbers of threads out of range mean the nearest that makes sense") {
  for (const int threads : {-1, 0, 1}) {
    int64_t next = 0;
    pool().parallel_for(threads, 5, [&](int worker, int64_t index) {
      CHECK(worker == 0);
      CHECK(index == next++);
    });
    CHECK(next == 5);
  }
  pool().parallel_for(4, -1, [](int, int64_t) { FAIL("there is no index"); });
  std::atomic<int64_t> sum{0};
  pool().parallel_for(std::numeric_limits<int>::max(), 4,
                      [&](int, int64_t index) { sum += index; });
  CHECK(sum == 6);
}

TEST_CASE("a hundred thousand tiny regions end, and their writes are seen") {
  int64_t wrong = 0;
  for (int i = 0; i < 100000; ++i) {
    const int threads = 2 + i % 3;
    int64_t values[8] = {};
    pool().parallel_for(threads, 2 + i % 7, [&](int, int64_t index) { values[index] = index + i; });
    for (int64_t k = 0; k < 2 + i % 7; ++k) wrong += values[k] == k + i ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("no wake-up is lost where spinning turns into parking") {
  // Around the 50 us that a pool thread spins after a region, and a caller at the end of one.
  for (int i = 0; i < 1500; ++i) {
    keep_busy(std::chrono::nanoseconds(45000 + i % 61 * 200));
    on_every_thread(2, [&](int worker) {
      if (worker != 0) keep_busy(std::chrono::nanoseconds(45000 + i % 59 * 200));
    });
  }
}

TEST_CASE("a caller parks while the others work on, and is woken") {
  int64_t done[4] = {};
  for (int i = 0; i < 50; ++i) {
    on_every_thread(4, [&](int worker) {
      if (worker != 0) std::this_thread::sleep_for(std::chrono::microseconds(500 * worker));
      ++done[worker];
    });
  }
  for (const int64_t times : done) CHECK(times == 50);
}

TEST_CASE("a caller that waits for others polls") {
  int polls = 0;
  std::atomic<bool> other_came{false};
  // The caller would do all alone before the other comes, if it did not wait for it.
  const auto body = [&](int worker, int64_t) {
    if (worker > 0) {
      other_came = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    }
    for (int ms = 0; ms < 10000 && !other_came; ++ms) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  ThreadPool::instance().parallel_for(2, 2, body, [&] { ++polls; });
  CHECK(polls > 0);
  CHECK(polls <= 100);
}

TEST_CASE("a region within a body is run by that body's thread") {
  std::atomic<int64_t> sum{0};
  std::atomic<int> foreign{0};
  pool().parallel_for(4, 50, [&](int, int64_t outer) {
    const std::thread::id self = std::this_thread::get_id();
    int64_t next = 0;
    pool().parallel_for(4, 20, [&](int worker, int64_t inner) {
      if (worker != 0 || inner != next++ || std::this_thread::get_id() != self) ++foreign;
      sum += outer * inner;
    });
  });
  CHECK(sum == 1225 * 190);
  CHECK(foreign == 0);
}

TEST_CASE("threads that call at once neither wait for one another nor meet") {
  constexpr int kCallers = 8, kRegions = 2000;
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < kRegions; ++i) {
        if (!region_is_right(1 + (caller + i) % 5, i % 40)) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);

  // While this region waits for it, another thread's comes to its end.
  on_every_thread(2, [&](int worker) {
    if (worker == 0) std::thread([&] { wrong += region_is_right(4, 100) ? 0 : 1; }).join();
  });
  CHECK(wrong == 0);
}

TEST_CASE("workers keep their ranges, and who is done takes what others have left") {
  std::thread::id first[4];
  for (int region = 0; region < 100; ++region) {
    std::atomic<int> present{0};
    std::thread::id seen[4];
    pool().parallel_for(4, 4, [&](int, int64_t index) {
      present.fetch_add(1);
      while (present.load() < 4) std::this_thread::yield();
      seen[index] = std::this_thread::get_id();
    });
    if (region == 0) std::copy(seen, seen + 4, first);
    CHECK(seen[0] == std::this_thread::get_id());
    for (int index = 0; index < 4; ++index) CHECK(seen[index] == first[index]);
  }
  // The one that has index 0 waits until all others, those of its own range too, are done.
  std::atomic<int> done{0};
  pool().parallel_for(2, 100, [&](int, int64_t index) {
    while (index == 0 && done.load() < 99) std::this_thread::yield();
    ++done;
  });
  CHECK(done == 100);
}

// --- the state of the pool's threads -------------------------------------------------------------

bool flushes_denormals() {
  // Through volatile, so that the processor and not the compiler does the arithmetic.
  volatile double smallest_normal = std::numeric_limits<double>::min();
  volatile double product = smallest_normal * 0.5;
  return !(product > 0.0);
}

TEST_CASE("the pool's threads flush denormals to zero, and the caller is left as it is") {
  for (const bool caller_flushes : {false, true}) {
    bool flushes[4] = {};
    const auto region = [&] {
      on_every_thread(4, [&](int worker) { flushes[worker] = flushes_denormals(); });
    };
    if (caller_flushes) {
      const FlushToZero guard;
      region();
      CHECK(flushes_denormals());
    } else {
      region();
    }
    CHECK_FALSE(flushes_denormals());
    CHECK(flushes[0] == caller_flushes);
    for (int worker = 1; worker < 4; ++worker) CHECK(flushes[worker]);
  }
}

#if defined(__x86_64__) || defined(_M_X64)
TEST_CASE("a region keeps the caller's MXCSR and gives it to no thread") {
  const unsigned int before = _mm_getcsr();
  const unsigned int toward_zero = before | 0x6000U;
  unsigned int inside[20] = {};
  _mm_setcsr(toward_zero);
  // More threads than other tests use, for a thread inherits its maker's state.
  on_every_thread(20, [&](int worker) { inside[worker] = _mm_getcsr(); });
  const unsigned int after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK(after == toward_zero);
  CHECK((inside[0] & 0x6000U) == 0x6000U);
  for (int worker = 1; worker < 20; ++worker) CHECK((inside[worker] & 0xE040U) == 0x8040U);
}
#endif

#if defined(__linux__)
TEST_CASE("a woken thread may run wherever it could before") {
  cpu_set_t own;
  REQUIRE(sched_getaffinity(0, sizeof(own), &own) == 0);
  for (int region = 0; region < 20; ++region) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // threads park
    cpu_set_t masks[4];
    on_every_thread(4, [&](int worker) { sched_getaffinity(0, sizeof(own), &masks[worker]); });
    for (const cpu_set_t& mask : masks) CHECK(CPU_EQUAL(&mask, &own));
  }
}
#endif

#if !defined(_WIN32)
TEST_CASE("the pool's threads take no signals but those of their own faults") {
  sigset_t masks[4], after;
  on_every_thread(4, [&](int worker) { pthread_sigmask(SIG_SETMASK, nullptr, &masks[worker]); });
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGPROF, SIGVTALRM, SIGUSR1,
                           SIGUSR2, SIGCHLD, SIGPIPE, SIGWINCH, SIGTSTP}) {
    CAPTURE(number);
    for (int worker = 1; worker < 4; ++worker) CHECK(sigismember(&masks[worker], number) == 1);
    CHECK(sigismember(&masks[0], number) == 0);
    CHECK(sigismember(&after, number) == 0);
  }
  for (int worker = 1; worker < 4; ++worker) CHECK(sigismember(&masks[worker], SIGSEGV) == 0);
}
#endif

}  // namespace
