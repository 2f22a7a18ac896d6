// Standardization of a network's inputs: y = (x - mean) * factor, by the statistics of the columns
// of some rows, which `fit` takes: mean, and 1 / standard deviation as the factor.
#pragma once

#include "layers/layer.hpp"

namespace chainrule {

template <class T>
class Standardization final : public Layer<T> {
 public:
  explicit Standardization(int64_t features);

  // Whether statistics have been taken; until then all of them are 0.
  bool is_fitted(const T* statistics) const { return statistics[factors_] != 0; }
  // Takes them from x (rows >= 1, features): sums in double over the rows in their order. A column
  // of one value, or of a deviation too small to divide by, keeps its scale. Throws
  // std::domain_error where one is too large; changes nothing then, nor when the team's interrupt
  // stopped it.
  void fit(Team& team, const T* x, int64_t rows, T* statistics) const;

  void declare(Layout& layout) override;
  void reset_statistics(T* statistics) const override;
  void forward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
               const LayerRows<T>& rows) const override;
  void backward(Context& context, const Pass<T>& pass, const LayerMemory<T>& memory,
                const LayerRows<T>& rows) const override;

 private:
  int64_t means_ = 0, factors_ = 0;  // offsets
};

}  // namespace chainrule
