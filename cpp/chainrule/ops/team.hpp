// Who does the work of a network's passes, piece by piece. One per trainer or call; used by
// network and training. The pieces of a run are independent, and which there are depends on the
// problem alone.
#pragma once

#include <cstdint>

#include "ops/context.hpp"

namespace chainrule {

class Team {
 public:
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  Interrupt& interrupt() { return interrupt_; }

  // body(context, piece) for piece = 0 .. count - 1; unfinished when the interrupt says so.
  template <class Body>
  void run(int64_t count, const Body& body) {
    for (int64_t piece = 0; piece < count && !context_.stop_requested(); ++piece) {
      body(context_, piece);
    }
  }

 private:
  Interrupt interrupt_;
  Context context_{interrupt_};
};

}  // namespace chainrule
