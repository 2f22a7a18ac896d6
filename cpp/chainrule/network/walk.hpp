// How a batch goes through a network and back: a value, chosen from sizes and settings alone, since
// it decides bits. Used by network and training.
//
// A batch is one or more shards. Each shard is one chain of sums over its rows; the shards' sums
// are added in a fixed order. A shard goes in parts, the rows whose activations are kept at a time,
// and a part in blocks, the rows that a thread takes at a time. Parts and blocks change no bit of a
// gradient. See docs/decisions/0017-walk-a-batch-in-shards-parts-and-blocks.md.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/row_blocks.hpp"

namespace chainrule {

// What a walk is chosen by, besides rows and settings.
struct NetworkShape {
  int64_t parameters = 0;
  int64_t weight_bytes = 0;    // of the largest weight that every block reads
  int64_t gradient_bytes = 0;  // of a row: gradients with respect to the layers' outputs
  bool mixes_rows = false;     // all rows of a batch meet in a layer
  bool has_bf16 = false;       // some products are sums of products of bf16 terms
};

// At most so many blocks form a part, as that many keep activations in caches.
inline constexpr int64_t kMostPartBlocks = 32;

// The order in which sums are added: to the first, one after the other; neighbors, then their sums,
// and so on (an odd one waits for the next round); or each to the one before it, from the last on.
enum class AddOrder { kSequence, kTree, kFromLast };

struct Walk {
  int64_t rows = 0;
  int64_t shards = 1, shard_rows = 0;    // the last shard may be smaller
  int64_t part_rows = 0;                 // likewise the last part of a shard
  AddOrder order = AddOrder::kSequence;  // of the shards' sums
  bool is_whole = true;                  // one part: one pass over all rows follows the other
  bool shards_by_thread = false;  // a thread walks through a shard; else the team through a part

  RowRange shard(int64_t index) const {
    const int64_t first = index * shard_rows;
    return {first, std::min(shard_rows, rows - first)};
  }
  // Rows whose activations are kept at a time.
  int64_t kept_rows() const {
    return shards_by_thread ? std::min(rows, shards * part_rows) : part_rows;
  }
};

// `shards` is the setting of a training: that many, as far as there are rows, added in a tree. 0:
// as many as are fastest. Layers that mix rows need 1 shard.
Walk choose_walk(const NetworkShape& shape, int64_t rows, int64_t shards);

// Calls add(to, from) for each addition that makes the first of `count` sums the sum of all.
template <class Add>
void for_additions(int64_t count, AddOrder order, const Add& add) {
  switch (order) {
    case AddOrder::kSequence:
      for (int64_t from = 1; from < count; ++from) add(int64_t{0}, from);
      break;
    case AddOrder::kTree:
      for (int64_t step = 1; step < count; step *= 2) {
        for (int64_t to = 0; to + step < count; to += 2 * step) add(to, to + step);
      }
      break;
    case AddOrder::kFromLast:
      for (int64_t from = count; --from > 0;) add(from - 1, from);
      break;
  }
}

}  // namespace chainrule
