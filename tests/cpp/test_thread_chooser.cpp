// ThreadChooser on times that this file makes up.
#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <map>

#include "training/thread_chooser.hpp"

namespace {

using chainrule::ThreadChooser;

constexpr int64_t kShortWork = int64_t{1} << 20, kLongWork = int64_t{1} << 30;

// Takes steps until `nanoseconds` are over; how long it did so with each number of threads.
std::map<int, int64_t> take_steps(ThreadChooser& chooser, int most, int64_t work,
                                  int64_t nanoseconds,
                                  const std::function<int64_t(int)>& time_of_step) {
  std::map<int, int64_t> times;
  for (int64_t elapsed = 0; elapsed < nanoseconds;) {
    chooser.prepare(most, work);
    const int threads = chooser.threads();
    const int64_t time = time_of_step(threads);
    chooser.took(time);
    times[threads] += time;
    elapsed += time;
  }
  return times;
}

constexpr int64_t kSecond = 1'000'000'000;

TEST_CASE("short steps are taken with the fastest number of threads, nearly always") {
  for (const int fastest : {1, 2, 3, 5}) {
    ThreadChooser chooser;
    const auto time = [fastest](int threads) { return threads == fastest ? 30'000 : 60'000; };
    auto times = take_steps(chooser, 5, kShortWork, kSecond, time);
    CAPTURE(fastest);
    CHECK(times[fastest] > kSecond * 97 / 100);
    for (const int threads : {1, 2, 3, 5}) CHECK(times.count(threads) == 1);
  }
}

TEST_CASE("the choice follows a machine that changes") {
  ThreadChooser chooser;
  take_steps(chooser, 2, kShortWork, kSecond,
             [](int threads) { return threads == 2 ? 20'000 : 30'000; });
  auto times = take_steps(chooser, 2, kShortWork, kSecond,
                          [](int threads) { return threads == 2 ? 90'000 : 30'000; });
  CHECK(times[1] > kSecond * 7 / 10);
  times = take_steps(chooser, 2, kShortWork, kSecond,
                     [](int threads) { return threads == 2 ? 90'000 : 30'000; });
  CHECK(times[1] > kSecond * 97 / 100);
}

TEST_CASE("single slow steps do not decide") {
  ThreadChooser chooser;
  int64_t step = 0;
  auto times = take_steps(chooser, 2, kShortWork, kSecond, [&step](int threads) {
    const int64_t disturbance = ++step % 37 == 0 ? 100'000 : 0;
    return (threads == 2 ? 20'000 : 30'000) + disturbance;
  });
  CHECK(times[2] > kSecond * 9 / 10);
}

TEST_CASE("long steps use all threads, one thread tries nothing, and a new size starts anew") {
  ThreadChooser chooser;
  const auto slow_threads = [](int threads) { return int64_t{1'000'000} * threads; };
  auto times = take_steps(chooser, 4, kLongWork, kSecond, slow_threads);
  CHECK(times.size() == 1);
  CHECK(times.count(4) == 1);
  times = take_steps(chooser, 1, kShortWork, kSecond, slow_threads);
  CHECK(times.size() == 1);
  chooser.prepare(4, kShortWork);
  CHECK(chooser.threads() == 4);
}

TEST_CASE("trials of longer steps are as rare as they are long") {
  ThreadChooser chooser;
  const auto time = [](int threads) { return int64_t{800'000} / threads; };
  auto times = take_steps(chooser, 8, kShortWork, 10 * kSecond, time);
  CHECK(times[8] > 10 * kSecond * 97 / 100);
}

TEST_CASE("all numbers of threads that there may be") {
  for (int most = 1; most <= 1024; ++most) {
    ThreadChooser chooser;
    const auto times =
        take_steps(chooser, most, kShortWork, 20'000'000, [](int) { return 100'000; });
    REQUIRE(times.begin()->first == 1);
    REQUIRE(times.rbegin()->first == most);
  }
}

}  // namespace
