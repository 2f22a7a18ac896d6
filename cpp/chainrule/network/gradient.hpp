// The gradient of a batch with respect to the parameters, flat. A network sums the batch's shards
// separately; whoever takes the values takes them through this type, which adds the sums first.
// Used by network and training.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/aligned_buffer.hpp"
#include "network/walk.hpp"

namespace chainrule {

template <class T>
class Gradient {
 public:
  // Of `size` parameters; the total lies in the caller's memory.
  Gradient(T* total, int64_t size) : total_(total), size_(size) {}
  Gradient(const Gradient&) = delete;
  Gradient& operator=(const Gradient&) = delete;

  int64_t size() const { return size_; }
  // Other memory, for the totals to come.
  void redirect(T* total) { total_ = total; }

  // For the network: room for so many sums, of which the first one becomes the total.
  void reserve_sums(int64_t count) { others_.reserve_scratch(checked_product(count - 1, size_)); }
  T* sum(int64_t index) {
    CHAINRULE_ASSERT(0 <= index && index * size_ <= others_.size());
    return index == 0 ? total_ : others_.data() + (index - 1) * size_;
  }
  // Adds one of the sums to another.
  void add(Team& team, int64_t to, int64_t from) {
    constexpr int64_t kPiece = int64_t{1} << 14;
    team.run_whole((size_ + kPiece - 1) / kPiece, size_ * kElementWork,
                   [&](Context& context, int64_t piece) {
                     const int64_t first = piece * kPiece;
                     add(context.kernels<T>(), to, from, first, std::min(kPiece, size_ - first));
                   });
  }
  // The total is that of `count` sums, yet to be added in this order.
  void set_sums(int64_t count, AddOrder order) {
    sums_ = count;
    order_ = order;
  }

  // body(context, index, values) for each of the pieces, which cover the gradient and have an
  // offset and a size; the values are those of the piece, whole. Never stopped.
  template <class Pieces, class Body>
  void for_pieces(Team& team, const Pieces& pieces, int64_t work, const Body& body) {
    team.run_whole(static_cast<int64_t>(pieces.size()), work, [&](Context& context, int64_t index) {
      const auto& piece = pieces[static_cast<size_t>(index)];
      for_additions(sums_, order_, [&](int64_t to, int64_t from) {
        add(context.kernels<T>(), to, from, piece.offset, piece.size);
      });
      body(context, index, total_ + piece.offset);
    });
    sums_ = 1;
  }

  // The same at once.
  void finish(Team& team) {
    for_additions(sums_, order_, [&](int64_t to, int64_t from) { add(team, to, from); });
    sums_ = 1;
  }
  // The total. The sums have been added.
  T* data() {
    CHAINRULE_ASSERT(sums_ == 1);
    return total_;
  }

 private:
  void add(const KernelTable<T>& kernels, int64_t to, int64_t from, int64_t offset, int64_t size) {
    kernels.add_scaled(T{1}, sum(from) + offset, sum(to) + offset, size);
  }

  T* total_;
  int64_t size_;
  AlignedBuffer<T> others_;  // sums, each `size_` long
  int64_t sums_ = 1;
  AddOrder order_ = AddOrder::kSequence;
};

}  // namespace chainrule
