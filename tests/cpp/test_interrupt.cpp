// Interrupt: asks its owner rarely, and remembers a stop.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "base/interrupt.hpp"

namespace {

using chainrule::Interrupt;

int calls = 0;
bool answer = false;

bool poll() {
  ++calls;
  return answer;
}

// Longer than the interval between two polls.
void wait() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

TEST_CASE("without an owner nothing stops") {
  Interrupt interrupt;
  CHECK_FALSE(interrupt.stop_requested());
}

TEST_CASE("a loop that asks often polls rarely, and a stop stays") {
  calls = 0;
  answer = false;
  Interrupt interrupt(poll);
  wait();
  CHECK_FALSE(interrupt.stop_requested());
  CHECK(calls == 1);
  answer = true;
  wait();
  CHECK(interrupt.stop_requested());
  CHECK(calls == 2);
  answer = false;
  wait();
  CHECK(interrupt.stop_requested());
  CHECK(calls == 2);
}

TEST_CASE("other threads do not poll, and learn of a stop") {
  calls = 0;
  answer = true;
  Interrupt interrupt(poll);
  wait();
  bool before = true, after = false;
  std::thread([&] {
    before = interrupt.stop_requested() || interrupt.stop_requested_now();
  }).join();
  CHECK_FALSE(before);
  CHECK(calls == 0);
  CHECK(interrupt.stop_requested());
  CHECK(calls == 1);
  std::thread([&] { after = interrupt.stop_requested(); }).join();
  CHECK(after);
  CHECK(calls == 1);
}

}  // namespace
