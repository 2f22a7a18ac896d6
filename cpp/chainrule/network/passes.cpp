// The passes through the layers of a network. Blocks of rows go through as many layers as they can;
// where a layer mixes rows, they meet.
#include <algorithm>

#include "network/network.hpp"
#include "network/pieces.hpp"

namespace chainrule {

template <class T>
void Network<T>::reserve(Workspace<T>& workspace, int64_t rows) const {
  workspace.reserve(training_plan_, rows);
}

template <class T>
Pass<T> Network<T>::begin_pass(const KernelTable<T>& kernels, Workspace<T>& workspace,
                               const Walk& walk, bool is_training, uint64_t step,
                               bool for_backward) const {
  workspace.walk = walk;
  workspace.is_training = is_training;
  const Pass<T> pass = pass_of(workspace, step);
  for (size_t i = 0; i < layers_.size(); ++i) {
    LayerMemory<T>& memory = workspace.layers[i];
    memory.y = takes_part(i, pass) ? workspace.output_of(i) : workspace.layers[i - 1].y;
    layers_[i]->prepare(kernels, pass, memory);
  }
  reserve_packed(kernels, workspace, pass, for_backward);
  return pass;
}

template <class T>
Pass<T> Network<T>::pass_of(const Workspace<T>& workspace, uint64_t step) const {
  return {parameters_.data(),    statistics_.data(), seed_, step, workspace.walk.rows,
          workspace.is_training, workspace.precision};
}

template <class T>
void Network<T>::reserve_packed(const KernelTable<T>& kernels, Workspace<T>& workspace,
                                const Pass<T>& pass, bool for_backward) const {
  const auto wants_grad_x = [&](size_t i) {
    return for_backward && i > 0 && workspace.layers[i - 1].grad_y.data != nullptr;
  };
  bool gains = false;
  for (size_t i = 0; i < layers_.size(); ++i) {
    gains = gains || layers_[i]->gains_from_packed(kernels, pass, wants_grad_x(i));
  }
  if (!gains) return;
  int64_t bytes = 0;
  for (const auto& layer : layers_) bytes += layer->packed_bytes(kernels, pass);
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (has_room_for_panels(layers_[i]->precision(pass.precision), bytes)) {
      layers_[i]->reserve_packed(kernels, pass, wants_grad_x(i), workspace.layers[i]);
    } else {
      // Those of other kernels, whose panels were narrower, may be there.
      workspace.layers[i].packed.clear();
    }
  }
}

template <class T>
void Network<T>::pack(Team& team, Workspace<T>& workspace, const Pass<T>& pass, Direction first,
                      Direction last) const {
  const KernelTable<T>& kernels = team.kernels<T>();
  std::vector<int64_t>& counts = workspace.piece_counts;
  const size_t layers = layers_.size();
  counts.assign(2 * layers, 0);
  for (size_t i = 0; i < layers; ++i) {
    for (const Direction direction : {first, last}) {
      counts[2 * i + static_cast<size_t>(direction)] =
          layers_[i]->packed_pieces(kernels, pass, workspace.layers[i], direction);
    }
  }
  for_pieces(team, counts, parameters_.size() * kElementWork,
             [&](Context&, size_t item, int64_t piece) {
               layers_[item / 2]->pack(kernels, pass, workspace.layers[item / 2],
                                       static_cast<Direction>(item % 2), piece);
             });
}

// What a layer sees of rows on their way.
template <class T>
LayerRows<T> Network<T>::rows_of(const Workspace<T>& workspace, size_t layer,
                                 const Stretch& stretch) const {
  using Array = typename LayerMemory<T>::Array;
  const LayerTraits& sizes = traits(layer);
  const LayerMemory<T>& memory = workspace.layers[layer];
  const int64_t first = stretch.range.first;
  const auto from = [first](const Array& array) {
    return array.data == nullptr ? nullptr : array.data + first * array.stride;
  };
  // Without a place a gradient is that with respect to the network's inputs.
  const auto gradient = [&](const Array& array, int64_t width) {
    return from(array.data == nullptr ? Array{stretch.grad_x, width} : array);
  };
  const bool is_first = layer == 0;
  const LayerMemory<T>& before = workspace.layers[is_first ? 0 : layer - 1];
  LayerRows<T> rows{stretch.range,
                    stretch.row_offset,
                    is_first ? stretch.x + first * sizes.inputs : from(before.y),
                    from(memory.y),
                    gradient(memory.grad_y, sizes.outputs),
                    gradient(is_first ? Array{} : before.grad_y, sizes.inputs)};
  for (size_t k = 0; k < kMostKept; ++k) rows.kept[k] = from(memory.kept[k]);
  return rows;
}

// Blocks of rows that go through the layers first .. end - 1.
template <class T>
template <class Body>
void Network<T>::for_blocks(Team& team, int64_t rows, size_t first, size_t end,
                            const Body& body) const {
  int64_t work = 0;
  for (size_t i = first; i < end; ++i) work += rows * traits(i).row_work;
  for_row_blocks(team, rows, largest_weight_ * int64_t{sizeof(T)}, work, body);
}

template <class T>
void Network<T>::forward_rows(Context& context, const Workspace<T>& workspace, const Pass<T>& pass,
                              size_t layer, const Stretch& stretch) const {
  if (!takes_part(layer, pass)) return;
  layers_[layer]->forward(context, pass, workspace.layers[layer],
                          rows_of(workspace, layer, stretch));
}

template <class T>
void Network<T>::backward_rows(Context& context, const Workspace<T>& workspace, const Pass<T>& pass,
                               size_t layer, const Stretch& stretch) const {
  if (!takes_part(layer, pass)) return;
  const LayerRows<T> rows = rows_of(workspace, layer, stretch);
  if (rows.grad_x == nullptr && !traits(layer).has_parameters) return;
  layers_[layer]->backward(context, pass, workspace.layers[layer], rows);
}

template <class T>
void Network<T>::forward_whole(Team& team, const Workspace<T>& workspace, const Pass<T>& pass,
                               const T* x) const {
  const Stretch all{{0, pass.rows}, 0, x, nullptr};
  for (size_t begin = 0; begin < layers_.size();) {
    if (mixes_forward(begin, pass)) {
      layers_[begin]->mix_forward(team, pass, workspace.layers[begin],
                                  rows_of(workspace, begin, all));
    }
    size_t end = begin + 1;
    while (end < layers_.size() && !mixes_forward(end, pass)) ++end;
    for_blocks(team, pass.rows, begin, end, [&](Context& context, RowRange block) {
      for (size_t i = begin; i < end && !context.stop_requested(); ++i) {
        forward_rows(context, workspace, pass, i, {block, 0, x, nullptr});
      }
    });
    if (team.is_stopped()) return;
    begin = end;
  }
}

template <class T>
void Network<T>::backward_whole(Team& team, const Workspace<T>& workspace, const Pass<T>& pass,
                                const T* x, T* grad_x, T* sums) const {
  const Stretch all{{0, pass.rows}, 0, x, grad_x};
  // From the last layer down to the next that mixes rows.
  for (size_t end = layers_.size(); end > 0;) {
    size_t begin = end - 1;
    while (begin > 0 && !traits(begin).mixes_rows) --begin;
    const bool mixes = traits(begin).mixes_rows;
    for_blocks(team, pass.rows, begin, end, [&](Context& context, RowRange block) {
      const Stretch stretch{block, 0, x, grad_x};
      for (size_t i = end; i-- > begin && !context.stop_requested();) {
        if (i > begin || !mixes) {
          backward_rows(context, workspace, pass, i, stretch);
        } else {
          layers_[i]->begin_backward(context, pass, workspace.layers[i],
                                     rows_of(workspace, i, stretch));
        }
      }
    });
    if (mixes && !team.is_stopped()) {
      layers_[begin]->mix_backward(team, pass, workspace.layers[begin],
                                   rows_of(workspace, begin, all), sums);
    }
    if (team.is_stopped()) return;
    end = begin;
  }
}

template <class T>
const T* Network<T>::forward(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                             bool is_training, uint64_t step) const {
  workspace.reserve(training_plan_, rows);
  const Pass<T> pass =
      begin_pass(team.kernels<T>(), workspace, walk(workspace, rows), is_training, step, false);
  pack(team, workspace, pass, Direction::kForward, Direction::kForward);
  forward_whole(team, workspace, pass, x);
  return workspace.layers.back().y.data;
}

template <class T>
void Network<T>::backward(Team& team, Workspace<T>& workspace, const T* x, T* grad_x,
                          Gradient<T>& gradient) const {
  workspace.walk = walk(workspace, workspace.walk.rows);
  const Pass<T> pass = pass_of(workspace, 0);
  reserve_packed(team.kernels<T>(), workspace, pass, true);
  pack(team, workspace, pass, Direction::kBackward, Direction::kBackward);
  backward_whole(team, workspace, pass, x, grad_x, gradient.sum(0));
  if (team.is_stopped()) return;
  sum_shards(team, workspace, pass, x, gradient);
  gradient.finish(team);
}

template <class T>
void Network<T>::predict(Team& team, const T* x, int64_t rows, T* out, Precision precision) const {
  // As many rows at a time as keep the workspace small.
  constexpr int64_t kFewest = 256, kMost = 4096, kElements = int64_t{1} << 22;
  const int64_t most =
      std::clamp(kElements / std::max<int64_t>(1, prediction_plan_.row_size()), kFewest, kMost);
  size_t last = layers_.size() - 1;
  while (traits(last).is_for_training) --last;
  Workspace<T> workspace;
  workspace.precision = precision;
  workspace.reserve(prediction_plan_, std::min(rows, most));
  for (int64_t r = 0; r < rows; r += most) {
    Walk walk;
    walk.rows = std::min(most, rows - r);
    const Pass<T> pass = begin_pass(team.kernels<T>(), workspace, walk, false, 0, false);
    workspace.layers[last].y = {out + r * out_features(), out_features()};
    pack(team, workspace, pass, Direction::kForward, Direction::kForward);
    forward_whole(team, workspace, pass, x + r * in_features());
    if (team.is_stopped()) return;
  }
}

template class Network<float>;
template class Network<double>;

}  // namespace chainrule
