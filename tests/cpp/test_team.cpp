// Team: whom it lets stop it, and on which variant its threads work.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "kernels/registry.hpp"
#include "ops/team.hpp"

namespace {

using chainrule::Context;
using chainrule::Interrupt;
using chainrule::Team;
using chainrule::Variant;

// Enough that every thread takes part.
constexpr int64_t kPieces = 64, kWork = int64_t{1} << 40;

std::atomic<bool> answer{false};

// Longer than the interval between two polls.
void wait() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

int64_t pieces_done(Team& team) {
  std::atomic<int64_t> done{0};
  team.run(kPieces, kWork, [&](Context&, int64_t) { ++done; });
  return done;
}

TEST_CASE("a team without an interrupt is never stopped") {
  for (const int threads : {1, 3}) {
    Team team(threads);
    wait();
    CHECK_FALSE(team.stop_requested());
    CHECK(pieces_done(team) == kPieces);
    CHECK_FALSE(team.is_stopped());
  }
}

TEST_CASE("an interrupt stops each of its teams, until it begins anew") {
  for (const int threads : {1, 3}) {
    answer = false;
    Interrupt interrupt([] { return answer.load(); });
    Team first(interrupt, threads), second(interrupt, threads);
    CHECK(pieces_done(first) == kPieces);
    answer = true;
    wait();
    CHECK(first.stop_requested());
    for (Team* team : {&first, &second}) {
      CHECK(team->is_stopped());
      CHECK(pieces_done(*team) == 0);
      int64_t done = 0;
      team->use_threads(1);
      team->run_whole(kPieces, kWork, [&](Context&, int64_t) { ++done; });
      CHECK(done == kPieces);
    }
    interrupt.end();
    CHECK_FALSE(second.is_stopped());
    CHECK(pieces_done(second) == kPieces);
  }
}

TEST_CASE("all threads of a team work on its variant, whatever the default is") {
  const Variant& before = chainrule::active_variant();
  const Variant& other = *chainrule::supported_variants().back();
  Team team(1, other);
  for (const Variant* variant : chainrule::supported_variants()) {
    CAPTURE(std::string(variant->name));
    team.begin(3, *variant);
    chainrule::set_active_variant(other);
    std::atomic<int64_t> different{0};
    team.run(kPieces, kWork, [&](Context& context, int64_t) {
      if (&context.kernels<float>() != &variant->single_precision) ++different;
    });
    CHECK(different == 0);
    CHECK(&team.kernels<double>() == &variant->double_precision);
    chainrule::set_active_variant(before);
  }
}

TEST_CASE("a team and a context take the default of the process when none is named") {
  const Variant& before = chainrule::active_variant();
  Team kept;
  for (const Variant* variant : chainrule::supported_variants()) {
    chainrule::set_active_variant(*variant);
    CHECK(&Team().kernels<float>() == &variant->single_precision);
    CHECK(&Context().kernels<float>() == &variant->single_precision);
    CHECK(&kept.kernels<float>() == &before.single_precision);
  }
  chainrule::set_active_variant(before);
  kept.begin(1);
  CHECK(&kept.kernels<float>() == &before.single_precision);
}

}  // namespace
