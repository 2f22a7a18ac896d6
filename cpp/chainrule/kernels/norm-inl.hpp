// Layer normalization (Ba, Kiros, Hinton 2016) and batch normalization (Ioffe, Szegedy 2015),
// forward and backward. Compiled per variant; contracts in kernel_table.hpp.
//
//   normalized = (x - mean) / sqrt(variance + epsilon),  y = normalized * scale + shift
// over the columns of a row (layer) or the rows of a column (batch); the variance is the biased
// one, taken in a second pass about the mean. With g = grad_y * scale and averages over the same
// elements: grad_x = inverse_deviation * (g - mean(g) - normalized * mean(g * normalized)).
#pragma once

#include "kernels/activation-inl.hpp"
#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

template <class T>
CHAINRULE_INLINE Vec<T> inverse_root(Vec<T> variance, T epsilon) {
  return constant<T>(1) / sqrt(variance + Vec<T>::broadcast(epsilon));
}

template <class T>
CHAINRULE_INLINE void assert_normalizes(const NormForward<T>& n) {
  CHAINRULE_ASSERT(n.rows >= 0 && 0 <= n.columns && n.columns <= n.row_stride);
  CHAINRULE_ASSERT(is_there(n.x, n.rows * n.columns) && is_there(n.y, n.rows * n.columns));
  CHAINRULE_ASSERT(are_same_or_apart(n.x, static_cast<const T*>(n.normalized), n.rows * n.columns));
  CHAINRULE_ASSERT(are_apart(n.y, n.rows * n.columns, n.normalized, n.rows * n.columns));
}

template <class T>
CHAINRULE_INLINE void assert_differentiates(const NormBackward<T>& n) {
  CHAINRULE_ASSERT(n.rows >= 0 && 0 <= n.columns && n.columns <= n.row_stride);
  CHAINRULE_ASSERT(is_there(n.grad_y, n.rows * n.columns) &&
                   is_there(n.normalized, n.rows * n.columns));
  CHAINRULE_ASSERT(
      are_same_or_apart(n.grad_y, static_cast<const T*>(n.grad_x), n.rows * n.columns));
  CHAINRULE_ASSERT(are_apart(n.grad_x, n.rows * n.columns, n.normalized, n.rows * n.columns));
}

template <class T>
void layer_norm_forward(const NormForward<T>& n) {
  assert_normalizes(n);
  CHAINRULE_ASSERT(is_there(n.inverse_deviation, n.rows));
  const T count = static_cast<T>(n.columns);
  for (int64_t r = 0; r < n.rows; ++r) {
    const T* x = n.x + r * n.row_stride;
    const T mean =
        row_sum<T>(n.columns, [&](int64_t j, auto lanes) { return lanes.load(x + j); }) / count;
    T* centered = n.normalized + r * n.row_stride;
    for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
      lanes.store(centered + j, lanes.load(x + j) - Vec<T>::broadcast(mean));
    });
    const T variance = row_sum<T>(n.columns,
                                  [&](int64_t j, auto lanes) {
                                    const Vec<T> d = lanes.load(centered + j);
                                    return d * d;
                                  }) /
                       count;
    const T inverse = on_scalar<T>([&](Vec<T> v) { return inverse_root(v, n.epsilon); }, variance);
    n.inverse_deviation[r] = inverse;
    T* y = n.y + r * n.row_stride;
    for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
      const Vec<T> normalized = lanes.load(centered + j) * Vec<T>::broadcast(inverse);
      lanes.store(centered + j, normalized);
      lanes.store(y + j, fma(normalized, lanes.load(n.scale + j), lanes.load(n.shift + j)));
    });
  }
}

// grad_scale and grad_shift: sums over the rows, the same for both norms.
template <class T>
void norm_parameter_gradients(const NormBackward<T>& n) {
  assert_differentiates(n);
  CHAINRULE_ASSERT(is_there(n.grad_scale, n.columns) && is_there(n.grad_shift, n.columns));
  for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
    Vec<T> scale = n.accumulate ? lanes.load(n.grad_scale + j) : Vec<T>::zero();
    Vec<T> shift = n.accumulate ? lanes.load(n.grad_shift + j) : Vec<T>::zero();
    for (int64_t r = 0; r < n.rows; ++r) {
      const Vec<T> g = lanes.load(n.grad_y + r * n.row_stride + j);
      scale = fma(g, lanes.load(n.normalized + r * n.row_stride + j), scale);
      shift = shift + g;
    }
    lanes.store(n.grad_scale + j, scale);
    lanes.store(n.grad_shift + j, shift);
  });
}

template <class T>
void layer_norm_backward(const NormBackward<T>& n) {
  assert_differentiates(n);
  CHAINRULE_ASSERT(is_there(n.grad_x, n.rows * n.columns));
  const T count = static_cast<T>(n.columns);
  for (int64_t r = 0; r < n.rows; ++r) {
    const T* grad_y = n.grad_y + r * n.row_stride;
    const T* normalized = n.normalized + r * n.row_stride;
    const auto g = [&](int64_t j, auto lanes) {
      return lanes.load(grad_y + j) * lanes.load(n.scale + j);
    };
    const Vec<T> mean = Vec<T>::broadcast(row_sum<T>(n.columns, g) / count);
    const Vec<T> slope =
        Vec<T>::broadcast(row_sum<T>(n.columns,
                                     [&](int64_t j, auto lanes) {
                                       return g(j, lanes) * lanes.load(normalized + j);
                                     }) /
                          count);
    const Vec<T> inverse = Vec<T>::broadcast(n.inverse_deviation[r]);
    T* grad_x = n.grad_x + r * n.row_stride;
    for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
      lanes.store(grad_x + j, inverse * (g(j, lanes) - mean - lanes.load(normalized + j) * slope));
    });
  }
}

template <class T>
void batch_norm_statistics(const NormForward<T>& n) {
  CHAINRULE_ASSERT(n.rows >= 0 && 0 <= n.columns && n.columns <= n.row_stride &&
                   is_there(n.x, n.rows * n.columns));
  CHAINRULE_ASSERT(is_there(n.mean, n.columns) && is_there(n.variance, n.columns) &&
                   is_there(n.inverse_deviation, n.columns));
  if (n.rows == 0) return;
  const Vec<T> count = Vec<T>::broadcast(static_cast<T>(n.rows));
  for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
    Vec<T> sum = Vec<T>::zero();
    for (int64_t r = 0; r < n.rows; ++r) sum = sum + lanes.load(n.x + r * n.row_stride + j);
    const Vec<T> mean = sum / count;
    Vec<T> squares = Vec<T>::zero();
    for (int64_t r = 0; r < n.rows; ++r) {
      const Vec<T> d = lanes.load(n.x + r * n.row_stride + j) - mean;
      squares = fma(d, d, squares);
    }
    const Vec<T> variance = squares / count;
    lanes.store(n.mean + j, mean);
    lanes.store(n.variance + j, variance);
    lanes.store(n.inverse_deviation + j, inverse_root(variance, n.epsilon));
  });
}

template <class T>
void batch_norm_backward(const NormBackward<T>& n) {
  assert_differentiates(n);
  CHAINRULE_ASSERT(is_there(n.grad_x, n.rows * n.columns));
  if (n.rows == 0) return;
  norm_parameter_gradients(n);
  const Vec<T> count = Vec<T>::broadcast(static_cast<T>(n.rows));
  for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
    const Vec<T> factor = lanes.load(n.scale + j) * lanes.load(n.inverse_deviation + j);
    const Vec<T> zero = Vec<T>::zero();
    const Vec<T> mean = n.fixed_statistics ? zero : lanes.load(n.grad_shift + j) / count;
    const Vec<T> slope = n.fixed_statistics ? zero : lanes.load(n.grad_scale + j) / count;
    for (int64_t r = 0; r < n.rows; ++r) {
      const int64_t i = r * n.row_stride + j;
      lanes.store(n.grad_x + i, factor * (lanes.load(n.grad_y + i) - mean -
                                          lanes.load(n.normalized + i) * slope));
    }
  });
}

template <class T>
void batch_norm_predict(const NormForward<T>& n) {
  assert_normalizes(n);
  CHAINRULE_ASSERT(is_there(n.mean, n.columns) && is_there(n.variance, n.columns));
  for_vectors<T>(n.columns, [&](int64_t j, auto lanes) {
    const Vec<T> mean = lanes.load(n.mean + j);
    const Vec<T> inverse = inverse_root(lanes.load(n.variance + j), n.epsilon);
    const Vec<T> scale = lanes.load(n.scale + j), shift = lanes.load(n.shift + j);
    if (n.inverse_deviation != nullptr) lanes.store(n.inverse_deviation + j, inverse);
    for (int64_t r = 0; r < n.rows; ++r) {
      const int64_t i = r * n.row_stride + j;
      const Vec<T> normalized = (lanes.load(n.x + i) - mean) * inverse;
      if (n.normalized != nullptr) lanes.store(n.normalized + i, normalized);
      lanes.store(n.y + i, fma(normalized, scale, shift));
    }
  });
}

}  // namespace
}  // namespace chainrule
