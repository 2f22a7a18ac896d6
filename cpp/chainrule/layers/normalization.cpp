#include "layers/normalization.hpp"

#include <algorithm>
#include <cmath>

#include "base/one_nan.hpp"

namespace chainrule {
namespace {

// Of memory.kept.
constexpr size_t kNormalized = 0, kInverseDeviation = 1, kStatistics = 2, kNormPreactivation = 3;

// Columns of a piece of a sum over rows: two cache lines of float32 in every row.
constexpr int64_t kPieceColumns = 32;

LayerTraits normalization_traits(const NormalizationSpec& spec) {
  const bool is_batch = spec.norm == Norm::kBatch;
  const int64_t n = spec.features;
  LayerTraits traits{n, n};
  traits.row_work = 3 * n * kElementWork;
  traits.has_parameters = true;
  traits.reads_y = spec.activation != Activation::identity;
  // The sums over the rows of a batch are taken before grad_x is written.
  traits.overwrites_grad_y = is_batch;
  traits.mixes_rows = is_batch;
  traits.kept[kNormalized] = {n, 0, false, true};
  traits.kept[kInverseDeviation] = is_batch ? Kept{0, n} : Kept{1, 0};
  if (is_batch) traits.kept[kStatistics] = {0, checked_product(2, n)};  // mean, then variance
  if (info(spec.activation).saved == Saved::input) {
    traits.reads_y = false;
    traits.kept[kNormPreactivation] = {n, 0, true, false};
  }
  return traits;
}

template <class T>
T unbiased_factor(int64_t rows) {
  return rows > 1 ? static_cast<T>(static_cast<double>(rows) / static_cast<double>(rows - 1))
                  : T{1};
}

// The same arguments for some columns of all rows.
template <class T>
NormForward<T> columns_of(NormForward<T> n, int64_t first, int64_t count) {
  n.columns = count;
  n.x += first;
  n.mean += first;
  n.variance += first;
  n.inverse_deviation += first;
  return n;
}
template <class T>
NormBackward<T> columns_of(NormBackward<T> n, int64_t first, int64_t count) {
  n.columns = count;
  n.grad_y += first;
  n.normalized += first;
  n.scale += first;
  n.grad_scale += first;
  n.grad_shift += first;
  if (n.grad_x != nullptr) n.grad_x += first;
  return n;
}

}  // namespace

template <class T>
Normalization<T>::Normalization(const NormalizationSpec& spec)
    : Layer<T>(normalization_traits(spec)), spec_(spec) {}

template <class T>
void Normalization<T>::declare(Layout& layout) {
  scale_ = layout.add_parameters(spec_.layer, Role::kScale, 1, spec_.features);
  shift_ = layout.add_parameters(spec_.layer, Role::kShift, 1, spec_.features);
  if (is_batch()) running_ = layout.add_statistics(2, spec_.features);
}

template <class T>
void Normalization<T>::initialize(Team&, uint64_t, T* parameters) const {
  std::fill_n(parameters + scale_, spec_.features, T{1});
  std::fill_n(parameters + shift_, spec_.features, T{0});
}

template <class T>
void Normalization<T>::reset_statistics(T* statistics) const {
  if (!is_batch()) return;
  std::fill_n(statistics + running_, spec_.features, T{0});
  std::fill_n(statistics + running_ + spec_.features, spec_.features, T{1});
}

template <class T>
bool Normalization<T>::statistics_are_finite(const LayerMemory<T>& memory, int64_t rows) const {
  if (!is_batch()) return true;
  const T unbiased = unbiased_factor<T>(rows);
  const T *mean = memory.kept[kStatistics].data, *variance = mean + spec_.features;
  for (int64_t j = 0; j < spec_.features; ++j) {
    if (!std::isfinite(mean[j]) || !std::isfinite(variance[j] * unbiased)) return false;
  }
  return true;
}

template <class T>
void Normalization<T>::commit_statistics(const LayerMemory<T>& memory, int64_t rows, double share,
                                         T* statistics) const {
  if (!is_batch()) return;
  const T unbiased = unbiased_factor<T>(rows);
  const double weight = share * (1 - kRunningDecay);
  const T left = static_cast<T>(1 - weight), taken = static_cast<T>(weight);
  const T *mean = memory.kept[kStatistics].data, *variance = mean + spec_.features;
  T *running_mean = statistics + running_, *running_variance = running_mean + spec_.features;
  for (int64_t j = 0; j < spec_.features; ++j) {
    running_mean[j] = one_nan(left * running_mean[j] + taken * mean[j]);
    running_variance[j] = one_nan(left * running_variance[j] + taken * (variance[j] * unbiased));
  }
}

template <class T>
NormForward<T> Normalization<T>::forward_arguments(const Pass<T>& pass, const LayerRows<T>& rows,
                                                   T* y) const {
  T* statistics = rows.kept[kStatistics];
  return {rows.range.count,
          spec_.features,
          spec_.features,
          rows.x,
          pass.parameters + scale_,
          pass.parameters + shift_,
          static_cast<T>(kNormEpsilon),
          statistics,
          is_batch() ? statistics + spec_.features : nullptr,
          rows.kept[kNormalized],
          rows.kept[kInverseDeviation],
          y};
}

// `gradient` is null where only rows are asked for.
template <class T>
NormBackward<T> Normalization<T>::backward_arguments(const Pass<T>& pass, const LayerRows<T>& rows,
                                                     T* gradient) const {
  return {rows.range.count,
          spec_.features,
          spec_.features,
          rows.grad_y,
          rows.kept[kNormalized],
          rows.kept[kInverseDeviation],
          pass.parameters + scale_,
          rows.grad_x,
          gradient == nullptr ? nullptr : gradient + scale_,
          gradient == nullptr ? nullptr : gradient + shift_,
          !pass.is_training,
          false};
}

// body(first, count) for pieces of the columns, each over all rows.
template <class T>
template <class Body>
void Normalization<T>::for_column_pieces(Team& team, int64_t rows, const Body& body) const {
  const int64_t n = spec_.features;
  team.run((n + kPieceColumns - 1) / kPieceColumns, 2 * rows * n * kElementWork,
           [&](Context& context, int64_t piece) {
             const int64_t first = piece * kPieceColumns,
                           count = std::min(kPieceColumns, n - first);
             body(context.kernels<T>(), first, count);
             context.stop_requested(2 * rows * count * kElementWork);
           });
}

// Outside training the running statistics take the place of the batch's.
template <class T>
void Normalization<T>::prepare(const KernelTable<T>& kernels, const Pass<T>& pass,
                               const LayerMemory<T>& memory) const {
  if (!is_batch() || pass.is_training) return;
  LayerRows<T> none{};
  for (size_t k = 0; k < kMostKept; ++k) none.kept[k] = memory.kept[k].data;
  std::copy_n(pass.statistics + running_, 2 * spec_.features, none.kept[kStatistics]);
  kernels.batch_norm_predict(forward_arguments(pass, none, nullptr));
}

template <class T>
void Normalization<T>::mix_forward(Team& team, const Pass<T>& pass, const LayerMemory<T>&,
                                   const LayerRows<T>& rows) const {
  const NormForward<T> all = forward_arguments(pass, rows, nullptr);
  for_column_pieces(team, rows.range.count,
                    [&](const KernelTable<T>& kernels, int64_t first, int64_t count) {
                      kernels.batch_norm_statistics(columns_of(all, first, count));
                    });
}

template <class T>
void Normalization<T>::forward(Context& context, const Pass<T>& pass, const LayerMemory<T>&,
                               const LayerRows<T>& rows) const {
  const KernelTable<T>& kernels = context.kernels<T>();
  T* preactivation = rows.kept[kNormPreactivation];
  T* z = preactivation == nullptr ? rows.y : preactivation;
  NormForward<T> norm = forward_arguments(pass, rows, z);
  if (is_batch()) {
    norm.inverse_deviation = nullptr;  // is there already, the same for all rows
    kernels.batch_norm_predict(norm);
  } else {
    kernels.layer_norm_forward(norm);
  }
  kernels.activations[static_cast<int>(spec_.activation)].forward(
      z, rows.y, rows.range.count * spec_.features, static_cast<T>(spec_.parameter));
}

// The activation's part, in place.
template <class T>
void Normalization<T>::begin_backward(Context& context, const Pass<T>&, const LayerMemory<T>&,
                                      const LayerRows<T>& rows) const {
  if (spec_.activation == Activation::identity) return;
  const T* preactivation = rows.kept[kNormPreactivation];
  context.kernels<T>().activations[static_cast<int>(spec_.activation)].backward(
      rows.grad_y, preactivation == nullptr ? rows.y : preactivation, rows.grad_y,
      rows.range.count * spec_.features, static_cast<T>(spec_.parameter));
}

template <class T>
void Normalization<T>::mix_backward(Team& team, const Pass<T>& pass, const LayerMemory<T>&,
                                    const LayerRows<T>& rows, T* gradient) const {
  const NormBackward<T> all = backward_arguments(pass, rows, gradient);
  for_column_pieces(team, rows.range.count,
                    [&](const KernelTable<T>& kernels, int64_t first, int64_t count) {
                      NormBackward<T> piece = columns_of(all, first, count);
                      piece.inverse_deviation += first;
                      kernels.batch_norm_backward(piece);
                    });
}

template <class T>
void Normalization<T>::backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                                const LayerRows<T>& rows) const {
  if (is_batch()) return;  // all is done where the rows met
  begin_backward(context, pass, memory, rows);
  context.kernels<T>().layer_norm_backward(backward_arguments(pass, rows, nullptr));
}

template <class T>
int64_t Normalization<T>::gradient_pieces(const KernelTable<T>&, const Pass<T>&, int64_t) const {
  return is_batch() ? 0 : (spec_.features + kPieceColumns - 1) / kPieceColumns;
}

template <class T>
void Normalization<T>::gradient(Context& context, const Pass<T>& pass, const LayerMemory<T>&,
                                const LayerRows<T>& rows, int64_t piece, T* gradient,
                                bool continues) const {
  const int64_t first = piece * kPieceColumns;
  NormBackward<T> norm = columns_of(backward_arguments(pass, rows, gradient), first,
                                    std::min(kPieceColumns, spec_.features - first));
  norm.accumulate = continues;
  context.kernels<T>().norm_parameter_gradients(norm);
}

template class Normalization<float>;
template class Normalization<double>;

}  // namespace chainrule
