// A layer of a network: what it keeps of a pass, and its share of each pass. Networks call layers
// through this interface, block of rows by block of rows, so that a block passes through many
// layers while it is in a core's caches. A layer is immutable; its numbers are the network's, and
// what it keeps of a pass is in a workspace.
//
// Rows are independent, except where a layer mixes them: there all rows of a batch meet. In the
// order of a pass:
//
//   prepare           once, before any row
//   pack              pieces, before any row: operands of products in the form that kernels read
//   mix_forward       if the layer mixes rows in this pass: all rows of x are there
//   forward           rows: x to y
//   begin_backward    rows, if the layer mixes rows: what comes before they meet
//   mix_backward      if the layer mixes rows: all rows have begun
//   backward          rows: grad_y to grad_x
//   gradient          pieces, over rows that have gone backward: sums for the layer's parameters
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "layers/layout.hpp"
#include "ops/packed_operand.hpp"
#include "ops/row_blocks.hpp"

namespace chainrule {

// What all layers are told of a pass.
template <class T>
struct Pass {
  const T* parameters;  // the network's, all of them
  const T* statistics;
  uint64_t seed;  // of dropout masks, with the step
  uint64_t step;
  int64_t rows;         // of the batch
  bool is_training;     // batch norm takes the batch's statistics, dropout drops
  Precision precision;  // may be kAuto
};

// Memory that a layer keeps during a pass, in elements.
struct Kept {
  int64_t row_size = 0, fixed_size = 0;  // of each row, and whatever the rows
  bool is_for_backward = false;          // predictions do without it
  bool may_be_x = false;                 // may lie where x does
};
inline constexpr std::size_t kMostKept = 4;

// What a network must know of a layer to plan its memory and its passes.
struct LayerTraits {
  int64_t inputs, outputs;  // elements of a row of x and of y
  int64_t weight_size = 0;  // elements of the weight that every block of rows reads
  int64_t row_work = 0;     // multiply-adds of `forward` for a row
  bool has_parameters = false;
  bool reads_x = false;            // `backward` or `gradient` reads x
  bool reads_y = false;            // `backward` reads y
  bool overwrites_x = false;       // y may lie where x does
  bool overwrites_grad_y = false;  // grad_x may lie where grad_y does; `gradient` does not read it
  bool is_for_training = false;    // in other passes y is x
  bool mixes_rows = false;         // backward, and forward in training
  std::array<Kept, kMostKept> kept{};
};

// The memory of a layer in a workspace. Arrays begin at the workspace's first row; rows that go
// through the layer together lie side by side, from `stride` elements times the first of them on.
template <class T>
struct LayerMemory {
  struct Array {
    T* data = nullptr;  // null: not kept in this pass
    int64_t stride = 0;
  };
  Array y, grad_y;
  std::array<Array, kMostKept> kept;
  std::vector<PackedOperand<T>> packed;  // the layer's own; empty: nothing is packed
};

// Rows of a pass, as a layer sees them. Arrays begin at the first of them.
template <class T>
struct LayerRows {
  RowRange range;      // in the workspace
  int64_t row_offset;  // from a row of the workspace to that of the batch
  const T* x;
  T* y;
  T* grad_y;
  T* grad_x;                         // null: not wanted
  std::array<T*, kMostKept> kept{};  // null: not kept in this pass
};

enum class Direction { kForward, kBackward };

template <class T>
class Layer {
 public:
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  const LayerTraits& traits() const { return traits_; }
  // Of the layer's products in a pass of that precision; kFull also where there are none.
  Precision precision(Precision of_pass) const {
    return traits_.weight_size == 0 ? Precision::kFull
                                    : layer_precision(of_pass, traits_.inputs, traits_.outputs);
  }

  // --- numbers: parameters and statistics are those of the network, all of them ---
  virtual void declare(Layout&) {}
  // Unfinished when the team's interrupt stopped it.
  virtual void initialize(Team&, uint64_t /*seed*/, T* /*parameters*/) const {}
  virtual void reset_statistics(T* /*statistics*/) const {}
  // After a pass in training over so many rows, of layers that mix them.
  virtual bool statistics_are_finite(const LayerMemory<T>&, int64_t /*rows*/) const { return true; }
  // Takes the batch's statistics into the running ones with weight 1 - kRunningDecay times share.
  virtual void commit_statistics(const LayerMemory<T>&, int64_t /*rows*/, double /*share*/,
                                 T* /*statistics*/) const {}

  // --- packed operands ---
  // Whether a pass gains from any; if it does, makes room for those: backward ones if it wants
  // grad_x. The network clears memory.packed where float32 operands of all layers take too much.
  virtual bool gains_from_packed(const KernelTable<T>&, const Pass<T>&,
                                 bool /*wants_grad_x*/) const {
    return false;
  }
  virtual void reserve_packed(const KernelTable<T>&, const Pass<T>&, bool /*wants_grad_x*/,
                              LayerMemory<T>&) const {}
  // Bytes of all that are in float32.
  virtual int64_t packed_bytes(const KernelTable<T>&, const Pass<T>&) const { return 0; }
  virtual int64_t packed_pieces(const KernelTable<T>&, const Pass<T>&, const LayerMemory<T>&,
                                Direction) const {
    return 0;
  }
  virtual void pack(const KernelTable<T>&, const Pass<T>&, LayerMemory<T>&, Direction,
                    int64_t /*piece*/) const {}

  // --- passes ---
  virtual void prepare(const KernelTable<T>&, const Pass<T>&, const LayerMemory<T>&) const {}
  virtual void mix_forward(Team&, const Pass<T>&, const LayerMemory<T>&,
                           const LayerRows<T>&) const {}
  virtual void forward(Context&, const Pass<T>&, const LayerMemory<T>&,
                       const LayerRows<T>&) const = 0;
  virtual void begin_backward(Context&, const Pass<T>&, const LayerMemory<T>&,
                              const LayerRows<T>&) const {}
  virtual void mix_backward(Team&, const Pass<T>&, const LayerMemory<T>&, const LayerRows<T>&,
                            T* /*gradient*/) const {}
  virtual void backward(Context&, const Pass<T>&, const LayerMemory<T>&,
                        const LayerRows<T>&) const = 0;

  // Sums over rows into the flat gradient; they start from 0, or continue those there. Different
  // pieces may be computed at once.
  virtual int64_t gradient_pieces(const KernelTable<T>&, const Pass<T>&, int64_t /*rows*/) const {
    return 0;
  }
  virtual void gradient(Context&, const Pass<T>&, const LayerMemory<T>&, const LayerRows<T>&,
                        int64_t /*piece*/, T* /*gradient*/, bool /*continues*/) const {}
  // Whether a team computes it as a whole instead, by the function below.
  virtual bool needs_team_for_gradient(const KernelTable<T>&, const Pass<T>&,
                                       int64_t /*rows*/) const {
    return false;
  }
  virtual void gradient_by_team(Team&, const Pass<T>&, const LayerRows<T>&,
                                PackedOperand<T>& /*scratch*/, T* /*gradient*/,
                                bool /*continues*/) const {}

 protected:
  explicit Layer(const LayerTraits& traits) : traits_(traits) {}

 private:
  LayerTraits traits_;
};

}  // namespace chainrule
