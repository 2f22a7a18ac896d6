// Rows of a batch, divided into blocks that go through one or more layers. Used by ops and network.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/team.hpp"

namespace chainrule {

struct RowRange {
  int64_t first, count;
};

// The smallest even number of blocks of at most `most` rows.
inline int64_t even_block_count(int64_t rows, int64_t most) {
  return 2 * ((rows + 2 * most - 1) / (2 * most));
}

// body(context, block, rows) for so many blocks, of the same size but for the last ones, of `work`
// multiply-adds in all.
template <class Body>
void for_row_ranges(Team& team, int64_t rows, int64_t count, int64_t work, const Body& body) {
  CHAINRULE_ASSERT(rows >= 0 && count >= 1);
  const int64_t size = (rows + count - 1) / count;
  team.run(count, work, [&](Context& context, int64_t block) {
    const int64_t first = std::min(rows, block * size);
    body(context, block, RowRange{first, std::min(size, rows - first)});
  });
}

// The most rows of a block. 64 rows of a layer stay in a second-level cache beside its weight; a
// weight that does not fit there is read once per block, so its blocks are larger.
inline int64_t most_block_rows(int64_t weight_bytes) {
  constexpr int64_t kSmall = 64, kLarge = 256, kHuge = 512;
  constexpr int64_t kSmallBytes = int64_t{1} << 20, kLargeBytes = int64_t{8} << 20;
  return weight_bytes <= kSmallBytes ? kSmall : (weight_bytes <= kLargeBytes ? kLarge : kHuge);
}

// How many blocks; from 32 rows on an even number.
inline int64_t row_block_count(int64_t rows, int64_t weight_bytes) {
  constexpr int64_t kFewest = 32;
  return rows < kFewest ? 1 : even_block_count(rows, most_block_rows(weight_bytes));
}

// body(context, rows) for these blocks, of `work` multiply-adds in all.
template <class Body>
void for_row_blocks(Team& team, int64_t rows, int64_t weight_bytes, int64_t work,
                    const Body& body) {
  for_row_ranges(team, rows, row_block_count(rows, weight_bytes), work,
                 [&](Context& context, int64_t, RowRange range) { body(context, range); });
}

}  // namespace chainrule
