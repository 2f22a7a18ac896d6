// A network: a list of layers, one flat buffer of parameters and one of statistics, and the passes
// through the layers. Used by training and the bindings; calls layers and ops.
//
// The parameters lie layer by layer: weight (in_features, out_features) row-major, bias
// (out_features), and with norm scale and shift (out_features). Gradients and optimizer states
// have the same layout.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "layers/layer.hpp"
#include "layers/standardization.hpp"
#include "network/gradient.hpp"
#include "network/layer_spec.hpp"
#include "network/plan.hpp"
#include "network/walk.hpp"
#include "network/workspace.hpp"
#include "ops/loss.hpp"

namespace chainrule {

// A penalty on the parameters: l1 sum |w| + l2 / 2 sum w^2.
struct Penalty {
  double l1 = 0, l2 = 0;
  bool includes_biases = false;  // else weights only

  bool applies_to(const ParameterBlock& block) const {
    return includes_biases || block.role == Role::kWeight;
  }
};

template <class T>
class Network {
 public:
  // The initial values are drawn by the team, and of no use when its interrupt stopped it. Throws
  // std::length_error when the number of parameters does not fit, std::bad_alloc.
  Network(int64_t in_features, const std::vector<LayerSpec>& specs, uint64_t seed, Team& team);
  // On one thread.
  Network(int64_t in_features, const std::vector<LayerSpec>& specs, uint64_t seed,
          Team&& team = Team())
      : Network(in_features, specs, seed, team) {}

  // Draws all parameters anew. Changes nothing when the team's interrupt stopped it.
  void initialize(Team& team, uint64_t seed);

  int64_t in_features() const { return layers_.front()->traits().inputs; }
  int64_t out_features() const { return layers_.back()->traits().outputs; }
  const std::vector<ParameterBlock>& blocks() const { return layout_.blocks(); }
  AlignedBuffer<T>& parameters() { return parameters_; }
  const AlignedBuffer<T>& parameters() const { return parameters_; }
  // Per batch-norm layer: running mean, running variance. Last, where inputs are standardized,
  // their means and factors: 1 / standard deviation, all 0 before they are fitted.
  AlignedBuffer<T>& statistics() { return statistics_; }
  uint64_t seed() const { return seed_; }
  bool mixes_rows() const { return mixes_rows_; }

  // Whether the network can be evaluated: inputs that it standardizes have been fitted.
  bool is_ready() const {
    return standardization_ == nullptr || standardization_->is_fitted(statistics_.data());
  }
  // Standardization::fit, of a network that standardizes its inputs.
  void standardize(Team& team, const T* x, int64_t rows) {
    CHAINRULE_ASSERT(standardization_ != nullptr);
    standardization_->fit(team, x, rows, statistics_.data());
  }

  // How a batch is walked by a workspace's settings.
  Walk walk(const Workspace<T>& workspace, int64_t rows) const;
  // Room for so many rows of a training at a time: Walk::kept_rows.
  void reserve(Workspace<T>& workspace, int64_t rows) const;

  // The outputs (rows, out_features) for x (rows, in_features), kept in the workspace with what
  // backward needs. In training, batch norm uses the batch's statistics and dropout the masks of
  // `step`. Outputs are unfinished when the team's interrupt stopped it.
  const T* forward(Team& team, Workspace<T>& workspace, const T* x, int64_t rows, bool is_training,
                   uint64_t step) const;

  // After forward with the same x: from the gradient with respect to the outputs, which the caller
  // wrote to workspace.output_gradient(), the gradient and, when not null, grad_x.
  void backward(Team& team, Workspace<T>& workspace, const T* x, T* grad_x,
                Gradient<T>& gradient) const;

  // Of the last pass of a workspace: whether batch statistics stayed in range, and their share of
  // the running ones, the batch's rows divided by the rows of a full batch. Passes outside training
  // have none.
  bool statistics_are_finite(const Workspace<T>& workspace) const;
  void commit_statistics(const Workspace<T>& workspace, double share);

  // out (rows, out_features), some rows at a time; the result of a row does not depend on the
  // others.
  void predict(Team& team, const T* x, int64_t rows, T* out,
               Precision precision = Precision::kFull) const;

  // Loss of a batch, its gradient (penalty included) and, when not null, grad_x. Changes nothing of
  // the network.
  double loss_and_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                           const TargetView<T>& targets, const LossFunction<T>& loss,
                           Reduction reduction, const Penalty& penalty, bool is_training,
                           uint64_t step, T* grad_x, Gradient<T>& gradient) const;

  // Brings rows of the batch to the rows from `to` on of a room for Walk::kept_rows; called on any
  // thread.
  using Fetch = std::function<void(RowRange rows, int64_t to)>;

  // A batch and what to do with it. Without `fetch`, x, targets and grad_x are the batch's; with
  // it, they are those of the room that it fills.
  struct BatchTask {
    const T* x;
    int64_t rows;
    TargetView<T> targets;
    const LossFunction<T>& loss;
    LossScale scale;
    bool is_training;
    uint64_t step;
    T* grad_x;  // or null
    const Fetch& fetch;
  };

  // The same for a trainer, without penalty. Unfinished when the team's interrupt stopped it.
  LossValue differentiate(Team& team, Workspace<T>& workspace, const BatchTask& batch,
                          Gradient<T>& gradient) const;

 private:
  // Rows on their way through the layers: those of the workspace, where row 0's inputs (and the
  // gradient with respect to them, if wanted) are, and which row of the batch row 0 is.
  struct Stretch {
    RowRange range;
    int64_t row_offset;
    const T* x;
    T* grad_x;
  };
  Stretch stretch_of(const BatchTask& batch, RowRange range, int64_t row_offset) const;

  void draw(Team& team, uint64_t seed, T* parameters) const;
  NetworkShape shape(Precision precision) const;
  const LayerTraits& traits(size_t layer) const { return layers_[layer]->traits(); }
  // Whether a layer takes part in a pass, and whether all rows meet there on the way forward.
  bool takes_part(size_t layer, const Pass<T>& pass) const {
    return pass.is_training || !traits(layer).is_for_training;
  }
  bool mixes_forward(size_t layer, const Pass<T>& pass) const {
    return pass.is_training && traits(layer).mixes_rows;
  }

  Pass<T> begin_pass(const KernelTable<T>& kernels, Workspace<T>& workspace, const Walk& walk,
                     bool is_training, uint64_t step, bool for_backward) const;
  Pass<T> pass_of(const Workspace<T>& workspace, uint64_t step) const;
  void reserve_packed(const KernelTable<T>& kernels, Workspace<T>& workspace, const Pass<T>& pass,
                      bool for_backward) const;
  void pack(Team& team, Workspace<T>& workspace, const Pass<T>& pass, Direction first,
            Direction last) const;
  LayerRows<T> rows_of(const Workspace<T>& workspace, size_t layer, const Stretch& stretch) const;
  template <class Body>
  void for_blocks(Team& team, int64_t rows, size_t first, size_t end, const Body& body) const;
  void forward_rows(Context& context, const Workspace<T>& workspace, const Pass<T>& pass,
                    size_t layer, const Stretch& stretch) const;
  void backward_rows(Context& context, const Workspace<T>& workspace, const Pass<T>& pass,
                     size_t layer, const Stretch& stretch) const;
  void forward_whole(Team& team, const Workspace<T>& workspace, const Pass<T>& pass,
                     const T* x) const;
  void backward_whole(Team& team, const Workspace<T>& workspace, const Pass<T>& pass, const T* x,
                      T* grad_x, T* sums) const;

  template <class Body>
  void for_shards_by_thread(Team& team, const Walk& walk, int64_t products, Gradient<T>& gradient,
                            const Body& body) const;
  template <class Body>
  void for_shards_in_turn(Team& team, const Walk& walk, Gradient<T>& gradient,
                          const Body& body) const;
  void sum_rows(Context& context, const Workspace<T>& workspace, const Pass<T>& pass,
                const Stretch& stretch, T* sums, bool continues) const;
  void sum_part(Team& team, Workspace<T>& workspace, const Pass<T>& pass, const Stretch& stretch,
                T* sums, bool continues) const;
  void sum_shards(Team& team, Workspace<T>& workspace, const Pass<T>& pass, const T* x,
                  Gradient<T>& gradient) const;
  double differentiate_rows(Context& context, Workspace<T>& workspace, const Pass<T>& pass,
                            const BatchTask& batch, RowRange rows, int64_t row_offset) const;
  void differentiate_by_thread(Team& team, Workspace<T>& workspace, const Pass<T>& pass,
                               const BatchTask& batch, Gradient<T>& gradient) const;
  void differentiate_by_team(Team& team, Workspace<T>& workspace, const Pass<T>& pass,
                             const BatchTask& batch, Gradient<T>& gradient) const;
  LossValue differentiate_whole(Team& team, Workspace<T>& workspace, const BatchTask& batch,
                                Gradient<T>& gradient) const;

  std::vector<std::unique_ptr<Layer<T>>> layers_;
  Standardization<T>* standardization_ = nullptr;  // the first layer, or null
  Layout layout_;
  Plan prediction_plan_, training_plan_;
  int64_t largest_weight_ = 0;  // elements
  bool mixes_rows_ = false;
  AlignedBuffer<T> parameters_, statistics_;
  uint64_t seed_;
};

}  // namespace chainrule
