// A multilayer perceptron: layer specs, one flat parameter buffer, forward and backward. Used by
// training and the bindings; calls ops.
//
// The flat buffer holds, layer by layer: weight (in_features, out_features) row-major, bias
// (out_features), and with norm scale and shift (out_features). Gradients and optimizer states
// have the same layout.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "network/layer_spec.hpp"
#include "network/workspace.hpp"
#include "ops/loss.hpp"
#include "ops/team.hpp"

namespace chainrule {

enum class Role { kWeight, kBias, kScale, kShift };

// A block of the flat parameter buffer.
struct ParameterBlock {
  int64_t layer;
  Role role;
  int64_t offset, rows, columns;  // rows is 1 for vectors

  int64_t size() const { return rows * columns; }
};

// A penalty on the parameters: l1 sum |w| + l2 / 2 sum w^2.
struct Penalty {
  double l1 = 0, l2 = 0;
  bool includes_biases = false;  // else weights only

  bool applies_to(const ParameterBlock& block) const {
    return includes_biases || block.role == Role::kWeight;
  }
};

template <class T>
class Mlp {
 public:
  // The initial values are drawn by the team, and of no use when its interrupt stopped it. Throws
  // std::length_error when the number of parameters does not fit, std::bad_alloc.
  Mlp(int64_t in_features, std::vector<LayerSpec> layers, uint64_t seed, Team& team);
  // On one thread.
  Mlp(int64_t in_features, std::vector<LayerSpec> layers, uint64_t seed, Team&& team = Team())
      : Mlp(in_features, std::move(layers), seed, team) {}

  // Draws all parameters anew. Changes nothing when the team's interrupt stopped it.
  void initialize(Team& team, uint64_t seed);

  int64_t in_features() const { return in_features_; }
  int64_t out_features() const { return specs_.back().out_features; }
  const std::vector<LayerSpec>& layers() const { return specs_; }
  const std::vector<ParameterBlock>& blocks() const { return blocks_; }
  AlignedBuffer<T>& parameters() { return parameters_; }
  const AlignedBuffer<T>& parameters() const { return parameters_; }
  // Per batch-norm layer: running mean, running variance. Last, where inputs are standardized,
  // their means and factors: 1 / standard deviation, all 0 before they are fitted.
  AlignedBuffer<T>& running_statistics() { return running_; }
  uint64_t seed() const { return seed_; }
  bool has_batch_norm() const;

  bool standardizes() const { return specs_.front().standardizes; }
  // Whether the network can be evaluated: inputs that it standardizes have been fitted.
  bool is_ready() const { return !standardizes() || input_factors()[0] != 0; }
  // Takes means and standard deviations of the columns of x (rows >= 1, in_features): sums in
  // double over the rows in their order. A column of one value, or of a deviation too small to
  // divide by, keeps its scale. Throws std::domain_error where one is too large; changes nothing
  // then, nor when the team's interrupt stopped it.
  void standardize(Team& team, const T* x, int64_t rows);

  // The outputs (rows, out_features) for x (rows, in_features), kept in the workspace with what
  // backward needs. In training, batch norm uses the batch's statistics and dropout the masks of
  // `step`. Outputs are unfinished when the team's interrupt stopped it.
  const T* forward(Team& team, Workspace<T>& workspace, const T* x, int64_t rows, bool training,
                   uint64_t step) const;

  // After forward with the same x: from the gradient with respect to the outputs, which the caller
  // wrote to workspace.output_gradient(), the flat `gradient` and, when not null, grad_x.
  void backward(Team& team, Workspace<T>& workspace, const T* x, T* grad_x, T* gradient) const;

  // Whether the batch statistics of the last forward pass in training stayed in range.
  bool batch_statistics_are_finite(const Workspace<T>& workspace) const;

  // Updates the running statistics with the batch statistics of the last forward pass in training,
  // with weight `share`: the batch's rows divided by the rows of a full batch.
  void commit_running_statistics(const Workspace<T>& workspace, double share);

  // out (rows, out_features), some rows at a time; the result of a row does not depend on the
  // others.
  void predict(Team& team, const T* x, int64_t rows, T* out,
               Precision precision = Precision::kFull) const;

  // Loss of a batch, its flat gradient (penalty included) and, when not null, grad_x. Changes
  // nothing of the network.
  double loss_and_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                           const TargetView<T>& targets, const LossFunction<T>& loss,
                           Reduction reduction, const Penalty& penalty, bool training,
                           uint64_t step, T* grad_x, T* gradient) const;

  // What `differentiate` takes. `fetch`, unless empty, brings rows of the batch to the rows of x
  // and of the targets from `to` on, which have room for workspace_rows; it is called on any
  // thread.
  using Fetch = std::function<void(RowRange rows, int64_t to)>;
  struct BatchPass {
    const T* x;
    int64_t rows;
    TargetView<T> targets;
    const LossFunction<T>& loss;
    LossScale scale;
    bool training;
    uint64_t step;
    T* grad_x;  // or null
    const Fetch& fetch;
  };

  // The same for a trainer, without penalty. The gradient is whole once add_group_gradients has
  // been called for every part of it. Unfinished when the team's interrupt stopped it.
  LossValue differentiate(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                          T* gradient) const;
  // How many rows of a batch the workspace then holds at a time.
  int64_t workspace_rows(Precision precision, int64_t rows) const;
  void add_group_gradients(const KernelTable<T>& kernels, const Workspace<T>& workspace,
                           int64_t offset, int64_t size, T* gradient) const;

 private:
  static T unbiased_factor(int64_t rows) {
    return rows > 1 ? static_cast<T>(static_cast<double>(rows) / static_cast<double>(rows - 1))
                    : T{1};
  }

  // Selects dropout masks: of a step, from the batch's row that is first in the workspace.
  struct MaskIndex {
    uint64_t step;
    int64_t first_row;
  };

  // Offsets of a layer's parts in the buffers; -1: no such part.
  struct Offsets {
    int64_t weight = -1, bias = -1, scale = -1, shift = -1, running = -1;
  };

  void draw(Team& team, uint64_t seed, T* parameters) const;
  void reset_running_statistics();
  const T* parameter(int64_t offset) const {
    return offset < 0 ? nullptr : parameters_.data() + offset;
  }
  int64_t layer_inputs(size_t layer) const {
    return layer == 0 ? in_features_ : specs_[layer - 1].out_features;
  }
  static const T* layer_input(const Workspace<T>& workspace, size_t layer, const T* x) {
    if (layer > 0) return workspace.layers[layer - 1].output;
    return workspace.standardized.empty() ? x : workspace.standardized.data();
  }
  const T* input_means() const { return running_.data() + running_.size() - 2 * in_features_; }
  const T* input_factors() const { return running_.data() + running_.size() - in_features_; }
  void standardize_rows(Workspace<T>& workspace, const T* x, RowRange rows) const;
  DenseShape shape(const Workspace<T>& workspace, size_t layer, int64_t rows) const;
  // Whether the forward pass through a layer needs all rows before it can go on.
  bool mixes_rows(size_t layer, const Workspace<T>& workspace) const {
    return specs_[layer].norm == Norm::kBatch && workspace.training;
  }

  template <class Body>
  void for_blocks(Team& team, int64_t rows, size_t first, size_t end, const Body& body) const;
  // body(context, layer, panel) for each of count_of(layer) panels of every layer, from the last.
  template <class Count, class Body>
  void for_panels(Team& team, int64_t work, const Count& count_of, const Body& body) const {
    int64_t count = 0;
    for (size_t i = 0; i < specs_.size(); ++i) count += count_of(i);
    team.run(count, work, [&](Context& context, int64_t panel) {
      size_t layer = specs_.size() - 1;
      for (; panel >= count_of(layer); --layer) panel -= count_of(layer);
      body(context, layer, panel);
    });
  }
  bool has_panels(const KernelTable<T>& kernels, const Workspace<T>& workspace, size_t layer) const;
  void pack_weights(Team& team, Workspace<T>& workspace, bool for_forward, bool for_backward) const;
  Weight<T> weight(const Context& context, const Workspace<T>& workspace, size_t layer) const;

  void begin_pass(Team& team, Workspace<T>& workspace, int64_t rows, bool training) const;
  void forward_rows(Context& context, Workspace<T>& workspace, size_t layer, const T* x,
                    RowRange rows, MaskIndex masks) const;
  void finish_forward_rows(const Context& context, Workspace<T>& workspace, size_t layer,
                           RowRange rows, MaskIndex masks) const;
  void prepare_batch_norm(const KernelTable<T>& kernels, LayerWorkspace<T>& w, size_t layer,
                          int64_t rows, bool training) const;
  void backward_rows(const Context& context, Workspace<T>& workspace, size_t layer,
                     RowRange rows) const;
  void input_gradient_rows(Context& context, Workspace<T>& workspace, size_t layer, RowRange rows,
                           T* grad_x) const;
  int64_t group_count(Precision precision, int64_t rows) const;
  bool has_bf16(Precision precision) const;
  int64_t most_part_rows() const;
  template <class Body>
  void for_groups(Team& team, Workspace<T>& workspace, int64_t products, const Body& body) const;
  const T* part_input(const BatchPass& batch, int64_t first_row) const;
  double differentiate_rows(Context& context, Workspace<T>& workspace, const BatchPass& batch,
                            int64_t first_row, RowRange rows) const;
  double differentiate_groups(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                              T* gradient) const;
  double differentiate_parts(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                             T* gradient) const;
  LossValue differentiate_whole(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                                T* gradient) const;
  void group_gradient(Context& context, Workspace<T>& workspace, const T* x, int64_t group,
                      RowRange rows, T* gradient, bool continues) const;
  void layer_gradient(Context& context, Workspace<T>& workspace, size_t layer, int64_t piece,
                      const T* x, RowRange rows, T* gradient, bool continues) const;
  void norm_gradient(const KernelTable<T>& kernels, Workspace<T>& workspace, size_t layer,
                     RowRange rows, T* gradient, bool continues) const;
  void part_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows, T* gradient,
                     bool continues) const;
  void parameter_gradients(Team& team, Workspace<T>& workspace, const T* x, T* gradient) const;
  NormForward<T> norm_forward(LayerWorkspace<T>& w, size_t layer, RowRange rows, T* y) const;
  // `gradient` is null when only rows are asked for.
  NormBackward<T> norm_backward(Workspace<T>& workspace, size_t layer, RowRange rows,
                                T* gradient) const;

  int64_t in_features_;
  std::vector<LayerSpec> specs_;
  std::vector<Offsets> offsets_;
  std::vector<ParameterBlock> blocks_;
  AlignedBuffer<T> parameters_, running_;
  int64_t largest_weight_ = 0;  // elements
  uint64_t seed_;
};

}  // namespace chainrule
