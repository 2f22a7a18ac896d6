// The pieces of several layers as one run of a team. Used by network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "ops/team.hpp"

namespace chainrule {

// body(context, item, piece) for each of counts[item] pieces of every item, of `work` multiply-adds
// in all.
template <class Body>
void for_pieces(Team& team, const std::vector<int64_t>& counts, int64_t work, const Body& body) {
  const int64_t count = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  team.run(count, work, [&](Context& context, int64_t piece) {
    size_t item = 0;
    for (; piece >= counts[item]; ++item) piece -= counts[item];
    body(context, item, piece);
  });
}

}  // namespace chainrule
