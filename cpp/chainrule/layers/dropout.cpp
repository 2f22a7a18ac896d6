#include "layers/dropout.hpp"

namespace chainrule {
namespace {

constexpr size_t kMask = 0;  // of memory.kept

LayerTraits dropout_traits(int64_t features) {
  LayerTraits traits{features, features};
  traits.row_work = 2 * features * kElementWork;
  traits.overwrites_x = true;
  traits.overwrites_grad_y = true;
  traits.is_for_training = true;
  traits.kept[kMask] = {features, 0, true, false};
  return traits;
}

}  // namespace

template <class T>
Dropout<T>::Dropout(int64_t layer, int64_t features, double probability)
    : Layer<T>(dropout_traits(features)),
      stream_(static_cast<uint32_t>(layer)),
      probability_(probability) {}

template <class T>
void Dropout<T>::forward(Context& context, const Pass<T>& pass, const LayerMemory<T>&,
                         const LayerRows<T>& rows) const {
  const KernelTable<T>& kernels = context.kernels<T>();
  const int64_t width = this->traits().outputs, size = rows.range.count * width;
  T* mask = rows.kept[kMask];
  kernels.dropout_mask(pass.seed, stream_, pass.step, probability_,
                       (rows.range.first + rows.row_offset) * width, mask, size);
  kernels.multiply(rows.x, mask, rows.y, size);
}

template <class T>
void Dropout<T>::backward(Context& context, const Pass<T>&, const LayerMemory<T>&,
                          const LayerRows<T>& rows) const {
  context.kernels<T>().multiply(rows.grad_y, rows.kept[kMask], rows.grad_x,
                                rows.range.count * this->traits().outputs);
}

template class Dropout<float>;
template class Dropout<double>;

}  // namespace chainrule
