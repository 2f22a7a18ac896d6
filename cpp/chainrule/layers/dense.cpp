#include "layers/dense.hpp"

namespace chainrule {
namespace {

// Of memory.packed.
constexpr size_t kForwardPanels = 0, kBackwardPanels = 1;
// Of memory.kept.
constexpr size_t kDensePreactivation = 0;

LayerTraits dense_traits(const DenseSpec& spec) {
  LayerTraits traits{spec.in_features, spec.out_features};
  traits.weight_size = checked_product(spec.in_features, spec.out_features);
  traits.row_work = spec.out_features * (spec.in_features + 2 * kElementWork);
  traits.reads_x = true;
  traits.has_parameters = true;
  traits.reads_y = spec.activation != Activation::identity;
  if (info(spec.activation).saved == Saved::input) {
    traits.reads_y = false;
    traits.kept[kDensePreactivation] = {spec.out_features, 0, true, false};
  }
  return traits;
}

}  // namespace

template <class T>
Dense<T>::Dense(const DenseSpec& spec) : Layer<T>(dense_traits(spec)), spec_(spec) {}

template <class T>
void Dense<T>::declare(Layout& layout) {
  const int64_t k = spec_.in_features, n = spec_.out_features;
  weight_ = layout.add_parameters(spec_.layer, Role::kWeight, k, n);
  if (spec_.has_bias) bias_ = layout.add_parameters(spec_.layer, Role::kBias, 1, n);
}

template <class T>
void Dense<T>::initialize(Team& team, uint64_t seed, T* parameters) const {
  initialize_layer(team, spec_.initializer, seed, static_cast<uint32_t>(spec_.layer),
                   spec_.in_features, spec_.out_features, parameters + weight_,
                   spec_.has_bias ? parameters + bias_ : nullptr);
}

template <class T>
bool Dense<T>::gains_from_packed(const KernelTable<T>& kernels, const Pass<T>& pass,
                                 bool wants_grad_x) const {
  return wants_grad_x || gains_from_panels(kernels, shape(pass, pass.rows));
}

template <class T>
int64_t Dense<T>::packed_bytes(const KernelTable<T>& kernels, const Pass<T>& pass) const {
  if (shape(pass, 0).precision != Precision::kFull) return 0;
  return 2 *
         PackedOperand<T>::bytes(kernels, Precision::kFull, spec_.in_features, spec_.out_features);
}

template <class T>
void Dense<T>::reserve_packed(const KernelTable<T>& kernels, const Pass<T>& pass, bool wants_grad_x,
                              LayerMemory<T>& memory) const {
  const auto [rows, k, n, precision] = shape(pass, pass.rows);
  memory.packed.resize(2);
  if (gains_from_panels(kernels, shape(pass, rows))) {
    memory.packed[kForwardPanels].reserve(kernels, precision, k, n);
  }
  if (wants_grad_x) memory.packed[kBackwardPanels].reserve(kernels, precision, n, k);
}

template <class T>
Weight<T> Dense<T>::weight(const KernelTable<T>& kernels, const Pass<T>& pass,
                           const LayerMemory<T>& memory) const {
  Weight<T> weight{pass.parameters + weight_};
  if (memory.packed.empty()) return weight;
  const PackedOperand<T>& panels = memory.packed[kForwardPanels];
  const PackedOperand<T>& transposed = memory.packed[kBackwardPanels];
  if (!panels.empty() && gains_from_panels(kernels, shape(pass, pass.rows))) {
    weight.panels = &panels;
  }
  if (!transposed.empty()) weight.transposed_panels = &transposed;
  return weight;
}

template <class T>
int64_t Dense<T>::packed_pieces(const KernelTable<T>& kernels, const Pass<T>& pass,
                                const LayerMemory<T>& memory, Direction direction) const {
  const Weight<T> packed = weight(kernels, pass, memory);
  const PackedOperand<T>* operand =
      direction == Direction::kForward ? packed.panels : packed.transposed_panels;
  return operand == nullptr ? 0 : operand->panel_count();
}

template <class T>
void Dense<T>::pack(const KernelTable<T>& kernels, const Pass<T>& pass, LayerMemory<T>& memory,
                    Direction direction, int64_t piece) const {
  const T* w = pass.parameters + weight_;
  if (direction == Direction::kForward) {
    memory.packed[kForwardPanels].pack(kernels, matrix(w, spec_.out_features), piece);
  } else {
    memory.packed[kBackwardPanels].pack(kernels, transposed(w, spec_.out_features), piece);
  }
}

template <class T>
void Dense<T>::forward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                       const LayerRows<T>& rows) const {
  dense_forward<T>(context, shape(pass, rows.range.count), rows.x,
                   weight(context.kernels<T>(), pass, memory),
                   spec_.has_bias ? pass.parameters + bias_ : nullptr, spec_.activation,
                   static_cast<T>(spec_.parameter), rows.kept[kDensePreactivation], rows.y);
}

template <class T>
void Dense<T>::backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                        const LayerRows<T>& rows) const {
  const KernelTable<T>& kernels = context.kernels<T>();
  if (spec_.activation != Activation::identity) {
    const T* z = rows.kept[kDensePreactivation];
    kernels.activations[static_cast<int>(spec_.activation)].backward(
        rows.grad_y, z == nullptr ? rows.y : z, rows.grad_y, rows.range.count * spec_.out_features,
        static_cast<T>(spec_.parameter));
  }
  if (rows.grad_x == nullptr) return;
  dense_input_gradient(context, shape(pass, rows.range.count), rows.grad_y,
                       weight(kernels, pass, memory), rows.grad_x);
}

template <class T>
int64_t Dense<T>::gradient_pieces(const KernelTable<T>& kernels, const Pass<T>& pass,
                                  int64_t rows) const {
  return gradient_piece_count(kernels, shape(pass, rows));
}

template <class T>
void Dense<T>::gradient(Context& context, const Pass<T>& pass, const LayerMemory<T>&,
                        const LayerRows<T>& rows, int64_t piece, T* gradient,
                        bool continues) const {
  dense_parameter_gradients<T>(context, shape(pass, rows.range.count), piece, rows.grad_y, rows.x,
                               gradient + weight_, spec_.has_bias ? gradient + bias_ : nullptr,
                               continues);
}

template <class T>
bool Dense<T>::needs_team_for_gradient(const KernelTable<T>& kernels, const Pass<T>& pass,
                                       int64_t rows) const {
  return packs_gradient(kernels, shape(pass, rows));
}

template <class T>
void Dense<T>::gradient_by_team(Team& team, const Pass<T>& pass, const LayerRows<T>& rows,
                                PackedOperand<T>& scratch, T* gradient, bool continues) const {
  dense_parameter_gradients<T>(team, shape(pass, rows.range.count), rows.grad_y, rows.x, scratch,
                               gradient + weight_, spec_.has_bias ? gradient + bias_ : nullptr,
                               continues);
}

template class Dense<float>;
template class Dense<double>;

}  // namespace chainrule
