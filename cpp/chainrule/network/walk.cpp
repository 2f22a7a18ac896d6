#include "network/walk.hpp"

#include <algorithm>

#include "kernels/bf16_kernels.hpp"

namespace chainrule {
namespace {

// A small network, whose gradients stay in a second-level cache, forms shards that a thread walks
// through alone: a shard's sums cost it a pass over the parameters, which its rows make up for.
constexpr int64_t kMostParameters = int64_t{1} << 16, kFewestRows = 64;
constexpr int64_t kShardRows = 64, kFewShards = 8, kLargeShardRows = 1024, kMostShards = 32;
// Rows of a part of such a shard: their activations stay in a second-level cache too.
constexpr int64_t kShardPartRows = 128;

// Rows per part of other networks: as many as have kPartBytes of gradients with respect to outputs,
// but at least enough blocks to keep threads busy, and at most kMostPartBlocks.
constexpr int64_t kPartBytes = int64_t{16} << 20, kFewestPartBlocks = 4;
// A part ends at the end of a block of steps of bf16 terms, so parts change none of their sums.
constexpr int64_t kPartStep = 2 * kBf16Depth;

// Shards of few rows would leave blocks of bf16 terms half empty.
bool is_small(const NetworkShape& shape) {
  return shape.parameters <= kMostParameters && !shape.has_bf16;
}

// How many shards are fastest; the last ones may be smaller. From 64 rows each to 1024 rows each,
// then more of them.
int64_t fastest_shards(const NetworkShape& shape, int64_t rows) {
  if (rows < kFewestRows || !is_small(shape)) return 1;
  return std::max(std::min(kFewShards, even_block_count(rows, kShardRows)),
                  std::min(kMostShards, even_block_count(rows, kLargeShardRows)));
}

// All parts of a shard are of the same size but the last.
int64_t part_rows_of(const NetworkShape& shape, int64_t rows) {
  const int64_t block = most_block_rows(shape.weight_bytes);
  const int64_t most = std::clamp(kPartBytes / shape.gradient_bytes / kPartStep * kPartStep,
                                  kFewestPartBlocks * block, kMostPartBlocks * block);
  if (rows <= most) return rows;
  const int64_t parts = (rows + most - 1) / most, even = (rows + parts - 1) / parts;
  return (even + kPartStep - 1) / kPartStep * kPartStep;
}

}  // namespace

Walk choose_walk(const NetworkShape& shape, int64_t rows, int64_t shards) {
  CHAINRULE_ASSERT(rows >= 0 && shards >= 0 && (shards <= 1 || !shape.mixes_rows));
  Walk walk;
  walk.rows = rows;
  if (shape.mixes_rows) {
    walk.shard_rows = walk.part_rows = rows;
    return walk;
  }
  const int64_t wanted = shards > 0 ? shards : fastest_shards(shape, rows);
  walk.shard_rows = (rows + wanted - 1) / wanted;
  walk.shards = rows == 0 ? 1 : (rows + walk.shard_rows - 1) / walk.shard_rows;
  walk.order = shards > 0 ? AddOrder::kTree : AddOrder::kSequence;
  walk.shards_by_thread = walk.shards > 1 && is_small(shape);
  walk.part_rows = walk.shards_by_thread ? kShardPartRows : part_rows_of(shape, walk.shard_rows);
  walk.is_whole = walk.shards == 1 && walk.part_rows >= rows;
  return walk;
}

}  // namespace chainrule
