#include "ops/peak.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "ops/team.hpp"

namespace chainrule {
namespace {

// The fastest of so many measurements counts: whatever else the machine does only takes away. The
// first ones wake the threads and the processor's clock.
constexpr int kMeasurements = 12;
constexpr double kSeconds = 5e-3;  // of one measurement at least
// Threads take pieces as they come, so that one which starts late costs a piece at most.
constexpr int64_t kPiecesPerThread = 32;

// Multiply-adds a second of one measurement; the seconds that it took.
struct Measurement {
  double rate, seconds;
};

template <class T>
Measurement measure(const KernelTable<T>& kernels, int threads, int64_t iterations) {
  std::atomic<int64_t> done{0};
  const auto start = std::chrono::steady_clock::now();
  ThreadPool::instance().parallel_for(threads, threads * kPiecesPerThread, [&](int, int64_t) {
    T end;
    done.fetch_add(kernels.multiply_add_peak(iterations, &end), std::memory_order_relaxed);
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return {static_cast<double>(done.load()) / elapsed.count(), elapsed.count()};
}

}  // namespace

template <class T>
double peak_flops(int threads, const Variant& variant) {
  CHAINRULE_ASSERT(threads >= 0);
  if (threads == 0) threads = thread_count();
  const KernelTable<T>& kernels = kernels_of<T>(variant);
  int64_t iterations = 64;
  while (measure(kernels, threads, iterations).seconds < kSeconds) iterations *= 2;
  double best = 0;
  for (int i = 0; i < kMeasurements; ++i) {
    best = std::max(best, measure(kernels, threads, iterations).rate);
  }
  return 2 * best;
}

template double peak_flops<float>(int, const Variant&);
template double peak_flops<double>(int, const Variant&);

}  // namespace chainrule
