#include "base/thread_pool.hpp"

#include <algorithm>
#include <cfenv>
#include <exception>
#include <new>
#include <thread>
#include <type_traits>

#include "base/flush_to_zero.hpp"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

namespace chainrule {

namespace {

// Initialized by the compiler, so that no fork can fall into its construction, and never destroyed:
// at exit its threads may still spin or be parked here, and nobody waits for them.
constinit ThreadPool pool;
static_assert(std::is_trivially_destructible_v<ThreadPool>);

// A thread made within this scope starts with signals blocked: they go to threads that others made,
// such as Python's. Those that a thread's own fault raises stay, for faulthandler and sanitizers.
class SignalsBlocked {
 public:
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
#if defined(_WIN32)
  SignalsBlocked() = default;
#else
  SignalsBlocked() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
      sigdelset(&blocked, fault);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &saved_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

 private:
  sigset_t saved_;
#endif
};

}  // namespace

ThreadPool& ThreadPool::instance() { return pool; }

void ThreadPool::run(int threads, int64_t count, AnyBody body, AnyPoll poll) {
  const bool fits = count <= Range::kMost;
  // A caller that finds the pool in use neither waits for it nor adds threads.
  if (fits && register_fork_handler() && !is_busy_.load(std::memory_order_relaxed) &&
      !is_busy_.exchange(true, std::memory_order_acquire)) {
    run_region(static_cast<int>(std::min<int64_t>(std::min(threads, kMaxThreads), count)), count,
               body, poll);
    is_busy_.store(false, std::memory_order_release);
    return;
  }
  for (int64_t index = 0; index < count; ++index) body(0, index);
}

// How a region starts and ends. Only the ranges say whether there is an index to claim, and for
// which worker. A claim takes one index off a range by compare-and-swap; the region's other fields
// are read only after a claim. They do not change from then on, since the region cannot end before
// the claimed index is finished. A late thread finds empty ranges and touches nothing else. It may
// sleep between load and swap into a later region, but if that swap succeeds, it has validly
// claimed an index of the later region. So no generation is needed, and the caller waits for
// claimed indices, not for threads.
void ThreadPool::run_region(int threads, int64_t count, AnyBody body, AnyPoll poll) {
  const int team = std::min(threads, 1 + add_threads(threads));
  if (workers_[0] == nullptr) {  // no memory
    for (int64_t index = 0; index < count; ++index) body(0, index);
    return;
  }
  body_ = body;
  unfinished_.store(count, std::memory_order_relaxed);
  for (int worker = team - 1; worker >= 0; --worker) {
    // The first index is the caller's, without a claim.
    const int64_t begin = worker == 0 ? 1 : worker * count / team;
    const Range range(begin, (worker + 1) * count / team, team);
    workers_[static_cast<size_t>(worker)]->range.store(range.word(), std::memory_order_seq_cst);
  }
  for (int worker = 1; worker < team; ++worker) {
    workers_[static_cast<size_t>(worker)]->parker.wake<true>();
  }

  body(0, 0);
  const int64_t ran = 1 + run_claimed(0, team);
  if (unfinished_.fetch_sub(ran, std::memory_order_acq_rel) == ran) return;
  workers_[0]->parker.wait<false>(
      [this] { return unfinished_.load(std::memory_order_seq_cst) == 0; }, poll);
}

// Takes the first index of the worker's own range or the last one of another's.
bool ThreadPool::claim(int worker, int victim, int64_t& index) {
  std::atomic<uint64_t>& word = workers_[static_cast<size_t>(victim)]->range;
  uint64_t seen = word.load(std::memory_order_relaxed);
  for (;;) {
    Range range(seen);
    if (range.begin >= range.end || worker >= range.threads) return false;
    index = worker == victim ? range.begin++ : --range.end;
    if (word.compare_exchange_weak(seen, range.word(), std::memory_order_acquire,
                                   std::memory_order_relaxed)) {
      return true;
    }
  }
}

int64_t ThreadPool::run_claimed(int worker, int team) {
  int64_t ran = 0, index = 0;
  for (int i = 0; i < team; ++i) {
    for (const int victim = (worker + i) % team; claim(worker, victim, index); ++ran) {
      body_(worker, index);
    }
  }
  return ran;
}

void ThreadPool::finish(int64_t ran) {
  // From here on the region may be over and another one running, whose caller this may wake in
  // vain.
  if (unfinished_.fetch_sub(ran, std::memory_order_seq_cst) == ran)
    workers_[0]->parker.wake<false>();
}

void ThreadPool::work(int worker) {
  std::fesetenv(FE_DFL_ENV);  // inherited from the thread that started this one
  const FlushToZero flush_to_zero;
  Worker& self = *workers_[static_cast<size_t>(worker)];
  for (;;) {
    Range range{0};
    // Yields, so that other threads on this processor can run.
    self.parker.wait<true>([&] {
      range = Range(self.range.load(std::memory_order_seq_cst));
      return range.begin < range.end;
    });
    const int64_t ran = run_claimed(worker, range.threads);
    if (ran > 0) finish(ran);
  }
}

// Brings the pool threads to `threads` - 1 if that can be; returns how many there are.
int ThreadPool::add_threads(int threads) {
  if (workers_[0] == nullptr) {
    workers_[0] = new (std::nothrow) Worker;
    if (workers_[0] == nullptr) return 0;
  }
  while (can_start_ && started_ < threads - 1) {
    can_start_ = start_thread(started_ + 1);
    if (can_start_) ++started_;
  }
  return started_;
}

bool ThreadPool::start_thread(int worker) {
  try {
    Worker*& made = workers_[static_cast<size_t>(worker)];
    if (made == nullptr) made = new Worker;
    const SignalsBlocked signals_blocked;
    std::thread([this, worker] { work(worker); }).detach();
    if (worker == 1) first_.store(made, std::memory_order_release);
    return true;
  } catch (const std::exception&) {
    return false;  // std::system_error or std::bad_alloc: the machine's limit, not the caller's
                   // fault
  }
}

bool ThreadPool::register_fork_handler() {
#if !defined(_WIN32)
  if (handles_fork_.load(std::memory_order_acquire)) return true;
  // Two threads may both register it: it can run twice.
  if (pthread_atfork(nullptr, nullptr, [] { pool.forget_threads(); }) != 0) return false;
  handles_fork_.store(true, std::memory_order_release);
#endif
  return true;
}

// In a forked child, where only the thread that forked exists. Another may have held a mutex or
// been in the middle of a region, so all is made anew, in place and without destructors.
void ThreadPool::forget_threads() {
  for (Worker* worker : workers_) {
    if (worker != nullptr) new (worker) Worker;
  }
  first_.store(nullptr, std::memory_order_relaxed);
  started_ = 0;
  can_start_ = true;
  unfinished_.store(0, std::memory_order_relaxed);
  is_busy_.store(false, std::memory_order_relaxed);
}

}  // namespace chainrule
