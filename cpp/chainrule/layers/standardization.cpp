#include "layers/standardization.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace chainrule {
namespace {

LayerTraits standardization_traits(int64_t features) {
  LayerTraits traits{features, features};
  traits.row_work = features * kElementWork;
  traits.overwrites_grad_y = true;
  return traits;
}

}  // namespace

template <class T>
Standardization<T>::Standardization(int64_t features)
    : Layer<T>(standardization_traits(features)) {}

template <class T>
void Standardization<T>::fit(Team& team, const T* x, int64_t rows, T* statistics) const {
  constexpr int64_t kElements = 1 << 14;  // some ten microseconds: then the interrupt is asked
  const int64_t width = this->traits().inputs;
  const auto columns = static_cast<size_t>(width);
  std::vector<double> means(columns), squares(columns);
  std::vector<char> varies(columns);
  const auto for_elements = [&](const auto& body) {
    const int64_t block = std::max<int64_t>(1, kElements / width);
    for (int64_t r = 0; r < rows; ++r) {
      if (r % block == 0 && team.stop_requested()) return;
      const T* row = x + r * width;
      for (size_t j = 0; j < columns; ++j) body(j, row[j]);
    }
  };
  for_elements([&](size_t j, T value) {
    means[j] += static_cast<double>(value);
    varies[j] |= value != x[j];
  });
  for (double& mean : means) mean /= static_cast<double>(rows);
  for_elements([&](size_t j, T value) {
    const double d = static_cast<double>(value) - means[j];
    squares[j] += d * d;
  });
  if (team.is_stopped()) return;
  std::vector<T> factors(columns, T{1});
  for (size_t j = 0; j < columns; ++j) {
    if (!varies[j]) {
      means[j] = static_cast<double>(x[j]);  // the sum was rounded
      continue;
    }
    const double factor = 1 / std::sqrt(squares[j] / static_cast<double>(rows));
    if (factor > static_cast<double>(std::numeric_limits<T>::max())) continue;
    // Of an infinite or NaN deviation it is 0 or NaN.
    if (!(factor >= static_cast<double>(std::numeric_limits<T>::min()))) {
      throw std::domain_error(
          "X must have columns with standard deviations within its dtype, got "
          "a larger one in column " +
          std::to_string(j));
    }
    factors[j] = static_cast<T>(factor);
  }
  for (size_t j = 0; j < columns; ++j) statistics[means_ + j] = static_cast<T>(means[j]);
  std::copy(factors.begin(), factors.end(), statistics + factors_);
}

template <class T>
void Standardization<T>::declare(Layout& layout) {
  means_ = layout.add_statistics(1, this->traits().inputs);
  factors_ = layout.add_statistics(1, this->traits().inputs);
}

template <class T>
void Standardization<T>::reset_statistics(T* statistics) const {
  std::fill_n(statistics + means_, 2 * this->traits().inputs, T{0});
}

// Two operations that every variant rounds alike.
template <class T>
void Standardization<T>::forward(Context&, const Pass<T>& pass, const LayerMemory<T>&,
                                 const LayerRows<T>& rows) const {
  const T *means = pass.statistics + means_, *factors = pass.statistics + factors_;
  const int64_t width = this->traits().inputs;
  for (int64_t r = 0; r < rows.range.count; ++r) {
    const int64_t at = r * width;
    for (int64_t j = 0; j < width; ++j) {
      rows.y[at + j] = (rows.x[at + j] - means[j]) * factors[j];
    }
  }
}

template <class T>
void Standardization<T>::backward(Context& context, const Pass<T>& pass, const LayerMemory<T>&,
                                  const LayerRows<T>& rows) const {
  const int64_t width = this->traits().inputs;
  for (int64_t r = 0; r < rows.range.count; ++r) {
    context.kernels<T>().multiply(rows.grad_y + r * width, pass.statistics + factors_,
                                  rows.grad_x + r * width, width);
  }
}

template class Standardization<float>;
template class Standardization<double>;

}  // namespace chainrule
