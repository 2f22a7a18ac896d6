// The loss of a batch and its gradient, walked as network/walk.hpp says.
#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "base/one_nan.hpp"
#include "network/network.hpp"
#include "network/pieces.hpp"

namespace chainrule {

// body(context, shard, rows) for all shards at once, of `products` products with every weight.
template <class T>
template <class Body>
void Network<T>::for_shards_by_thread(Team& team, const Walk& walk, int64_t products,
                                      Gradient<T>& gradient, const Body& body) const {
  gradient.reserve_sums(walk.shards);
  team.run(walk.shards, products * walk.rows * parameters_.size(),
           [&](Context& context, int64_t shard) { body(context, shard, walk.shard(shard)); });
  gradient.set_sums(walk.shards, walk.order);
}

// body(shard, rows, sums) for one shard after the other. Neighbors in the tree are added as soon as
// both are there, so that few sums wait.
template <class T>
template <class Body>
void Network<T>::for_shards_in_turn(Team& team, const Walk& walk, Gradient<T>& gradient,
                                    const Body& body) const {
  gradient.reserve_sums(std::bit_width(static_cast<uint64_t>(walk.shards - 1)) + 1);
  int64_t waiting = 0;
  for (int64_t shard = 0; shard < walk.shards && !team.is_stopped(); ++shard) {
    body(shard, walk.shard(shard), gradient.sum(waiting++));
    for (int64_t done = shard + 1; done % 2 == 0; done /= 2) {
      --waiting;
      gradient.add(team, waiting - 1, waiting);
    }
  }
  gradient.set_sums(waiting, AddOrder::kFromLast);
}

// Sums over rows on one thread, for all layers.
template <class T>
void Network<T>::sum_rows(Context& context, const Workspace<T>& workspace, const Pass<T>& pass,
                          const Stretch& stretch, T* sums, bool continues) const {
  const KernelTable<T>& kernels = context.kernels<T>();
  for (size_t i = layers_.size(); i-- > 0;) {
    const int64_t pieces = layers_[i]->gradient_pieces(kernels, pass, stretch.range.count);
    if (pieces == 0) continue;
    const LayerRows<T> rows = rows_of(workspace, i, stretch);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      if (context.stop_requested()) return;
      layers_[i]->gradient(context, pass, workspace.layers[i], rows, piece, sums, continues);
    }
  }
}

// The same by the team: the pieces of all layers at once, then the layers that need it whole.
template <class T>
void Network<T>::sum_part(Team& team, Workspace<T>& workspace, const Pass<T>& pass,
                          const Stretch& stretch, T* sums, bool continues) const {
  const KernelTable<T>& kernels = team.kernels<T>();
  const int64_t rows = stretch.range.count;
  const size_t last = layers_.size() - 1;
  std::vector<int64_t>& counts = workspace.piece_counts;  // from the last layer on
  counts.assign(layers_.size(), 0);
  const auto needs_team = [&](size_t i) {
    return layers_[i]->needs_team_for_gradient(kernels, pass, rows);
  };
  for (size_t i = 0; i <= last; ++i) {
    if (!needs_team(i)) counts[last - i] = layers_[i]->gradient_pieces(kernels, pass, rows);
  }
  for_pieces(team, counts, rows * parameters_.size(),
             [&](Context& context, size_t item, int64_t piece) {
               const size_t i = last - item;
               layers_[i]->gradient(context, pass, workspace.layers[i],
                                    rows_of(workspace, i, stretch), piece, sums, continues);
             });
  for (size_t i = layers_.size(); i-- > 0;) {
    if (!needs_team(i)) continue;
    layers_[i]->gradient_by_team(team, pass, rows_of(workspace, i, stretch),
                                 workspace.gradient_panels, sums, continues);
  }
}

// After the passes over all rows of a batch.
template <class T>
void Network<T>::sum_shards(Team& team, Workspace<T>& workspace, const Pass<T>& pass, const T* x,
                            Gradient<T>& gradient) const {
  const Walk& walk = workspace.walk;
  if (walk.shards_by_thread) {
    for_shards_by_thread(
        team, walk, 1, gradient, [&](Context& context, int64_t shard, RowRange range) {
          sum_rows(context, workspace, pass, {range, 0, x, nullptr}, gradient.sum(shard), false);
        });
  } else {
    for_shards_in_turn(team, walk, gradient, [&](int64_t, RowRange range, T* sums) {
      sum_part(team, workspace, pass, {range, 0, x, nullptr}, sums, false);
    });
  }
}

template <class T>
typename Network<T>::Stretch Network<T>::stretch_of(const BatchTask& batch, RowRange range,
                                                    int64_t row_offset) const {
  if (batch.fetch) return {range, row_offset, batch.x, batch.grad_x};
  const int64_t at = row_offset * in_features();
  return {range, row_offset, batch.x + at, batch.grad_x == nullptr ? nullptr : batch.grad_x + at};
}

// Takes rows through everything except the sums over rows. Returns the loss's sum over them.
template <class T>
double Network<T>::differentiate_rows(Context& context, Workspace<T>& workspace,
                                      const Pass<T>& pass, const BatchTask& batch, RowRange rows,
                                      int64_t row_offset) const {
  if (batch.fetch) batch.fetch({row_offset + rows.first, rows.count}, rows.first);
  const Stretch stretch = stretch_of(batch, rows, row_offset);
  const TargetView<T> targets = batch.fetch ? batch.targets : batch.targets.from(row_offset);
  for (size_t i = 0; i < layers_.size() && !context.stop_requested(); ++i) {
    forward_rows(context, workspace, pass, i, stretch);
  }
  const double sum =
      batch.loss.sum(context.kernels<T>(), workspace.layers.back().y.data, rows, out_features(),
                     targets, batch.scale, workspace.output_gradient());
  for (size_t i = layers_.size(); i-- > 0 && !context.stop_requested();) {
    backward_rows(context, workspace, pass, i, stretch);
  }
  return sum;
}

// Each shard walks through its parts in rows of the workspace of its own.
template <class T>
void Network<T>::differentiate_by_thread(Team& team, Workspace<T>& workspace, const Pass<T>& pass,
                                         const BatchTask& batch, Gradient<T>& gradient) const {
  const Walk& walk = workspace.walk;
  for_shards_by_thread(
      team, walk, 3, gradient, [&](Context& context, int64_t shard, RowRange range) {
        const int64_t first = std::min(range.first, shard * walk.part_rows);
        for (int64_t done = 0; done < range.count && !context.stop_requested();) {
          const RowRange rows{first, std::min(walk.part_rows, range.count - done)};
          const int64_t row_offset = range.first + done - first;
          workspace.loss_sums[static_cast<size_t>(shard)] +=
              differentiate_rows(context, workspace, pass, batch, rows, row_offset);
          sum_rows(context, workspace, pass, stretch_of(batch, rows, row_offset),
                   gradient.sum(shard), done > 0);
          done += rows.count;
        }
      });
}

template <class T>
void Network<T>::differentiate_by_team(Team& team, Workspace<T>& workspace, const Pass<T>& pass,
                                       const BatchTask& batch, Gradient<T>& gradient) const {
  const Walk& walk = workspace.walk;
  const int64_t weight_bytes = largest_weight_ * int64_t{sizeof(T)};
  for_shards_in_turn(team, walk, gradient, [&](int64_t shard, RowRange range, T* sums) {
    for (int64_t done = 0; done < range.count; done += walk.part_rows) {
      const int64_t rows = std::min(walk.part_rows, range.count - done);
      const int64_t row_offset = range.first + done;
      std::array<double, kMostPartBlocks> block_sums{};
      for_row_ranges(team, rows, row_block_count(rows, weight_bytes), 2 * rows * parameters_.size(),
                     [&](Context& context, int64_t block, RowRange block_rows) {
                       block_sums[static_cast<size_t>(block)] = differentiate_rows(
                           context, workspace, pass, batch, block_rows, row_offset);
                     });
      workspace.loss_sums[static_cast<size_t>(shard)] +=
          std::accumulate(block_sums.begin(), block_sums.end(), 0.0);
      if (team.is_stopped()) return;
      sum_part(team, workspace, pass, stretch_of(batch, {0, rows}, row_offset), sums, done > 0);
    }
  });
}

// One pass after the other, each over all rows.
template <class T>
LossValue Network<T>::differentiate_whole(Team& team, Workspace<T>& workspace,
                                          const BatchTask& batch, Gradient<T>& gradient) const {
  if (batch.fetch) {
    for_row_blocks(team, batch.rows, 0, batch.rows * in_features() * kElementWork,
                   [&](Context&, RowRange rows) { batch.fetch(rows, rows.first); });
  }
  const T* outputs = forward(team, workspace, batch.x, batch.rows, batch.is_training, batch.step);
  if (team.is_stopped()) return {};
  const LossValue value = batch.loss(team, outputs, batch.rows, out_features(), batch.targets,
                                     batch.scale, workspace.output_gradient());
  backward(team, workspace, batch.x, batch.grad_x, gradient);
  return value;
}

template <class T>
LossValue Network<T>::differentiate(Team& team, Workspace<T>& workspace, const BatchTask& batch,
                                    Gradient<T>& gradient) const {
  const Walk walk = this->walk(workspace, batch.rows);
  reserve(workspace, walk.kept_rows());
  if (walk.is_whole) return differentiate_whole(team, workspace, batch, gradient);
  const Pass<T> pass =
      begin_pass(team.kernels<T>(), workspace, walk, batch.is_training, batch.step, true);
  pack(team, workspace, pass, Direction::kForward, Direction::kBackward);
  std::vector<double>& sums = workspace.loss_sums;
  sums.assign(static_cast<size_t>(walk.shards), 0.0);
  if (walk.shards_by_thread) {
    differentiate_by_thread(team, workspace, pass, batch, gradient);
  } else {
    differentiate_by_team(team, workspace, pass, batch, gradient);
  }
  for_additions(walk.shards, walk.order, [&](int64_t to, int64_t from) {
    sums[static_cast<size_t>(to)] += sums[static_cast<size_t>(from)];
  });
  return {one_nan(sums[0] * batch.scale.factor), batch.scale.weight};
}

template <class T>
double Network<T>::loss_and_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                                     const TargetView<T>& targets, const LossFunction<T>& loss,
                                     Reduction reduction, const Penalty& penalty, bool is_training,
                                     uint64_t step, T* grad_x, Gradient<T>& gradient) const {
  const LossScale scale = loss.scale(rows, out_features(), targets, reduction);
  double value =
      differentiate(team, workspace, {x, rows, targets, loss, scale, is_training, step, grad_x, {}},
                    gradient)
          .value;
  if (team.is_stopped()) return 0;
  gradient.finish(team);
  for (const ParameterBlock& block : blocks()) {
    if (!penalty.applies_to(block)) continue;
    value += team.kernels<T>()
                 .finish_gradient(gradient.data() + block.offset, parameters_.data() + block.offset,
                                  block.size(), static_cast<T>(penalty.l1),
                                  static_cast<T>(penalty.l2), T{1}, false)
                 .penalty;
  }
  return one_nan(value);
}

template class Network<float>;
template class Network<double>;

}  // namespace chainrule
