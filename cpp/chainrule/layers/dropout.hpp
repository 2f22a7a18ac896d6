// Dropout (Srivastava et al. 2014): in training y = x * mask, where an element of the mask is 0
// with the given probability and 1 / (1 - probability) otherwise. In other passes y is x.
#pragma once

#include "layers/layer.hpp"

namespace chainrule {

template <class T>
class Dropout final : public Layer<T> {
 public:
  // layer: of those that the user listed; the masks of different layers are independent.
  Dropout(int64_t layer, int64_t features, double probability);

  void forward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
               const LayerRows<T>& rows) const override;
  void backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                const LayerRows<T>& rows) const override;

 private:
  uint32_t stream_;
  double probability_;
};

}  // namespace chainrule
