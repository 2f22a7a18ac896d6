// The places of a network's numbers in its flat buffers. Each layer declares its own, in the order
// of the layers; gradients and optimizer states have the layout of the parameters. Used by layers
// and network.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/checks.hpp"

namespace chainrule {

enum class Role { kWeight, kBias, kScale, kShift };

// A block of the flat parameter buffer.
struct ParameterBlock {
  int64_t layer;  // of those that the user listed
  Role role;
  int64_t offset, rows, columns;  // rows is 1 for vectors

  int64_t size() const { return rows * columns; }
};

class Layout {
 public:
  // Appends a block of parameters. Returns its offset; throws std::length_error.
  int64_t add_parameters(int64_t layer, Role role, int64_t rows, int64_t columns) {
    const int64_t offset = parameter_count_;
    blocks_.push_back({layer, role, offset, rows, columns});
    parameter_count_ = checked_sum(offset, checked_product(rows, columns));
    return offset;
  }
  // The same for statistics: numbers that training computes besides the parameters.
  int64_t add_statistics(int64_t rows, int64_t columns) {
    const int64_t offset = statistic_count_;
    statistic_count_ = checked_sum(offset, checked_product(rows, columns));
    return offset;
  }

  const std::vector<ParameterBlock>& blocks() const { return blocks_; }
  int64_t parameter_count() const { return parameter_count_; }
  int64_t statistic_count() const { return statistic_count_; }

 private:
  std::vector<ParameterBlock> blocks_;
  int64_t parameter_count_ = 0, statistic_count_ = 0;
};

}  // namespace chainrule
