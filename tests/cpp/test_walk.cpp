// How batches are divided: every row is in one part of one shard, and the order in which shards are
// added is the one promised, whoever adds them.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "network/gradient.hpp"
#include "network/walk.hpp"

namespace chainrule {
namespace {

NetworkShape small_shape() { return {5000, 4 * 3000, 4 * 200, false, false}; }
NetworkShape large_shape() { return {int64_t{1} << 20, int64_t{4} << 19, 4 * 4000, false, false}; }

constexpr int64_t kRows[] = {0, 1, 2, 63, 64, 65, 127, 128, 513, 1024, 4096, 4097, 100'003};

TEST_CASE("shards and their parts cover the rows of a batch") {
  for (const NetworkShape& shape : {small_shape(), large_shape()}) {
    for (const bool has_bf16 : {false, true}) {
      for (const int64_t rows : kRows) {
        for (const int64_t shards : {0, 1, 2, 3, 8, 16, 1000}) {
          CAPTURE(rows);
          CAPTURE(shards);
          NetworkShape of_precision = shape;
          of_precision.has_bf16 = has_bf16;
          const Walk walk = choose_walk(of_precision, rows, shards);
          int64_t next = 0;
          for (int64_t i = 0; i < walk.shards; ++i) {
            const RowRange shard = walk.shard(i);
            CHECK(shard.first == next);
            CHECK((shard.count > 0 || rows == 0));
            next += shard.count;
          }
          CHECK(next == rows);
          if (shards > 0) CHECK(walk.shards <= shards);
          CHECK((walk.part_rows > 0 || rows == 0));
          CHECK(walk.kept_rows() <= rows);
          CHECK(walk.is_whole == (walk.shards == 1 && walk.kept_rows() == rows));
          // Bits of bf16 products need parts that end where blocks of steps do.
          if (has_bf16 && walk.part_rows < walk.shard_rows) CHECK(walk.part_rows % 64 == 0);
          if (has_bf16) CHECK(!walk.shards_by_thread);
        }
      }
    }
  }
}

TEST_CASE("a large network has one shard, and a small one several, unless it is told") {
  CHECK(choose_walk(large_shape(), 4096, 0).shards == 1);
  CHECK(choose_walk(small_shape(), 63, 0).shards == 1);
  CHECK(choose_walk(small_shape(), 64, 0).shards == 2);
  CHECK(choose_walk(small_shape(), 512, 0).shards == 8);
  CHECK(choose_walk(small_shape(), 65'536, 0).shards == 32);
  CHECK(choose_walk(small_shape(), 512, 3).shards == 3);
  CHECK(choose_walk(large_shape(), 512, 3).shards == 3);
}

TEST_CASE("layers that mix rows see all of them") {
  NetworkShape shape = large_shape();
  shape.mixes_rows = true;
  for (const int64_t rows : kRows) {
    const Walk walk = choose_walk(shape, rows, 0);
    CHECK(walk.is_whole);
    CHECK(walk.kept_rows() == rows);
  }
}

// The additions of so many sums as an expression.
std::string expression(int64_t count, AddOrder order) {
  std::vector<std::string> sums;
  for (int64_t i = 0; i < count; ++i) sums.push_back(std::to_string(i));
  for_additions(count, order, [&](int64_t to, int64_t from) {
    std::string sum("(");
    sum.append(sums[static_cast<size_t>(to)]).append("+").append(sums[static_cast<size_t>(from)]);
    sums[static_cast<size_t>(to)] = sum.append(")");
  });
  return sums[0];
}

TEST_CASE("sums are added in sequence, in a tree, or from the last") {
  CHECK(expression(1, AddOrder::kSequence) == "0");
  CHECK(expression(4, AddOrder::kSequence) == "(((0+1)+2)+3)");
  CHECK(expression(1, AddOrder::kTree) == "0");
  CHECK(expression(3, AddOrder::kTree) == "((0+1)+2)");
  CHECK(expression(7, AddOrder::kTree) == "(((0+1)+(2+3))+((4+5)+6))");
  CHECK(expression(8, AddOrder::kTree) == "(((0+1)+(2+3))+((4+5)+(6+7)))");
  CHECK(expression(3, AddOrder::kFromLast) == "(0+(1+2))");
}

TEST_CASE("a gradient adds its sums in their order, by pieces or at once") {
  constexpr int64_t kSize = 40'000;
  struct Piece {
    int64_t offset, size;
  };
  const std::vector<Piece> pieces = {{0, 7}, {7, 20'000}, {20'007, 19'993}};
  for (const AddOrder order : {AddOrder::kSequence, AddOrder::kTree, AddOrder::kFromLast}) {
    for (const int64_t count : {1, 2, 3, 7, 8}) {
      for (const bool is_in_pieces : {false, true}) {
        CAPTURE(count);
        Team team(2);
        std::vector<float> total(kSize);
        Gradient<float> gradient(total.data(), kSize);
        gradient.reserve_sums(count);
        // Numbers whose sum depends on the order.
        std::vector<float> sums(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) {
          sums[static_cast<size_t>(i)] = 1.0F / static_cast<float>(3 + i * i);
          std::fill_n(gradient.sum(i), kSize, sums[static_cast<size_t>(i)]);
        }
        gradient.set_sums(count, order);
        for_additions(count, order, [&](int64_t to, int64_t from) {
          sums[static_cast<size_t>(to)] += sums[static_cast<size_t>(from)];
        });
        if (is_in_pieces) {
          gradient.for_pieces(team, pieces, kSize, [&](Context&, int64_t i, const float* values) {
            CHECK(values == total.data() + pieces[static_cast<size_t>(i)].offset);
          });
        } else {
          gradient.finish(team);
        }
        CHECK(gradient.data() == total.data());
        CHECK(total == std::vector<float>(kSize, sums[0]));
      }
    }
  }
}

}  // namespace
}  // namespace chainrule
