// Who does the work of an operation, piece by piece, on one thread or several. The caller makes it
// and hands it down; used by ops, network and training. The pieces of a run are independent, and
// which there are depends on the problem alone, so the number of threads changes no bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/thread_count.hpp"
#include "base/thread_pool.hpp"
#include "ops/context.hpp"

namespace chainrule {

// How many threads an operation uses at most when its caller does not say. First what the
// environment, the processors and the quota give (base/thread_count.hpp), until it is set; setting
// 0 goes back to that. Throws std::invalid_argument for the environment variable.
int thread_count();
void set_thread_count(int threads);

// What a pass over one element of an array costs, in multiply-adds of a product.
inline constexpr int64_t kElementWork = 8;

class Team {
 public:
  // Never stopped.
  explicit Team(int threads = 1, const Variant& variant = active_variant()) {
    begin(threads, variant);
  }
  // Stopped by the interrupt, which outlives the team and may serve several, on several threads.
  explicit Team(Interrupt& interrupt, int threads = 1, const Variant& variant = active_variant())
      : interrupt_(&interrupt) {
    begin(threads, variant);
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Before an operation: it runs on `variant`, on at most `threads` threads, or with 0 on as many
  // as the process is set to. Throws std::invalid_argument for the environment variables.
  void begin(int threads, const Variant& variant = active_variant()) {
    CHAINRULE_ASSERT(threads >= 0);
    most_threads_ = threads > 0 ? threads : thread_count();
    threads_ = most_threads_;
    variant_ = &variant;
    for (Context& context : contexts_) context.use(variant);
    if (contexts_.empty()) add_context();
  }

  // How many the runs to come use at most: all that `begin` allowed, or fewer.
  int most_threads() const { return most_threads_; }
  void use_threads(int threads) {
    CHAINRULE_ASSERT(threads >= 1);
    threads_ = std::min(threads, most_threads_);
  }

  // Before a series of runs of `work` multiply-adds in all: has the threads awake if that pays, so
  // that runs too small to wake them can use them.
  void wake(int64_t work) {
    if (threads_ > 1 && work >= kWorkToWake && ThreadPool::instance().is_asleep()) {
      ThreadPool::instance().parallel_for(threads_, threads_, [](int, int64_t) {});
    }
  }

  // See base/interrupt.hpp.
  bool stop_requested() { return interrupt_ != nullptr && interrupt_->stop_requested(); }
  bool is_stopped() const { return interrupt_ != nullptr && interrupt_->is_stopped(); }

  template <class T>
  const KernelTable<T>& kernels() const {
    return kernels_of<T>(*variant_);
  }

  // body(context, piece) for piece = 0 .. count - 1, of `work` multiply-adds in all; unfinished
  // when the interrupt says so. On several threads a body does not throw, and std::bad_alloc comes
  // before the first.
  template <class Body>
  void run(int64_t count, int64_t work, const Body& body) {
    const auto call = [&](int worker, int64_t piece) {
      Context& context = contexts_[static_cast<size_t>(worker)];
      if (!context.stop_requested()) body(context, piece);
    };
    divide(count, work, call, [this] { stop_requested(); });
  }

  // The same, never stopped: for what must be done as a whole.
  template <class Body>
  void run_whole(int64_t count, int64_t work, const Body& body) {
    const auto call = [&](int worker, int64_t piece) {
      body(contexts_[static_cast<size_t>(worker)], piece);
    };
    divide(count, work, call, [] {});
  }

 private:
  // Two microseconds of products in float; to start and to end a region takes less than one.
  static constexpr int64_t kWorkPerThread = int64_t{1} << 17;
  // Seventy: a thread that sleeps costs six to wake and is there thirty or more later.
  static constexpr int64_t kWorkToWake = int64_t{1} << 22;

  int threads_for(int64_t count, int64_t work) const {
    const int64_t most = std::min({int64_t{threads_}, count, 1 + work / kWorkPerThread});
    if (most <= 1) return 1;
    return work < kWorkToWake && ThreadPool::instance().is_asleep() ? 1 : static_cast<int>(most);
  }
  template <class Call, class Poll>
  void divide(int64_t count, int64_t work, const Call& call, const Poll& poll) {
    CHAINRULE_ASSERT(count >= 0 && work >= 0);
    const int threads = threads_for(count, work);
    if (threads == 1) {
      for (int64_t piece = 0; piece < count; ++piece) call(0, piece);
    } else {
      while (contexts_.size() < static_cast<size_t>(threads)) add_context();
      for (Context& context : contexts_) context.reserve_scratch();
      ThreadPool::instance().parallel_for(threads, count, call, poll);
    }
  }
  void add_context() { contexts_.emplace_back(*variant_, interrupt_); }

  int most_threads_ = 1, threads_ = 1;
  const Variant* variant_ = nullptr;
  Interrupt* interrupt_ = nullptr;  // null: never stopped
  std::vector<Context> contexts_;   // by worker, made when first needed
};

}  // namespace chainrule
