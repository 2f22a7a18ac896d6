// The activations, forward and backward. Compiled per variant; a row of activations.inc names a
// struct of this file.
//
// A struct gives, for a vector of elements and the activation's parameter:
//   forward(x, parameter)         y = f(x)
//   derivative(saved, parameter)  f'(x) from what the list says is saved, x (input) or y (output)
// Sources: elu Clevert et al. 2016; selu Klambauer et al. 2017; gelu Hendrycks and Gimpel 2016;
// silu Elfwing et al. 2018; mish Misra 2019.
#pragma once

#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

template <class T>
CHAINRULE_INLINE Vec<T> constant(double value) {
  return Vec<T>::broadcast(static_cast<T>(value));
}

// The magnitude with the sign of v; NaN for NaN, whose sign means nothing.
template <class T>
CHAINRULE_INLINE Vec<T> signed_like(Vec<T> v, Vec<T> magnitude) {
  return select(v == v, copysign(magnitude, v), v);
}

struct identity_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return x;
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T>, Vec<T>) {
    return constant<T>(1);
  }
};

struct relu_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return max(Vec<T>::zero(), x);  // in this order NaN stays NaN
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T>) {
    return select(y > Vec<T>::zero(), constant<T>(1), Vec<T>::zero());
  }
};

struct leaky_relu_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T> negative_slope) {
    return select(x > Vec<T>::zero(), x, negative_slope * x);
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T> negative_slope) {
    return select(y > Vec<T>::zero(), constant<T>(1), negative_slope);
  }
};

struct elu_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T> alpha) {
    return select(x > Vec<T>::zero(), x, alpha * expm1(x));
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T> alpha) {
    return select(y > Vec<T>::zero(), constant<T>(1), y + alpha);
  }
};

struct selu_activation {
  static constexpr double kScale = 1.0507009873554804934193349852946;
  static constexpr double kAlpha = 1.6732632423543772848170429916717;

  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return select(x > Vec<T>::zero(), constant<T>(kScale) * x,
                  constant<T>(kScale * kAlpha) * expm1(x));
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T>) {
    return select(y > Vec<T>::zero(), constant<T>(kScale), y + constant<T>(kScale * kAlpha));
  }
};

struct gelu_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return x * normal_cdf(x);
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> x, Vec<T>) {
    const Normal<T> normal = normal_cdf_and_density(x);
    return fma(x, normal.density, normal.cdf);
  }
};

// gelu_tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Beyond |x| = 10 the tanh is +-1 to
// the last bit; the bound keeps x^2 and x^3 from overflowing to infinity times zero.
struct gelu_tanh_activation {
  static constexpr double kScale = 0.79788456080286535587989211986876;
  static constexpr double kCubic = 0.044715;

  template <class T>
  static CHAINRULE_INLINE Vec<T> bounded(Vec<T> x) {
    return min(constant<T>(10), max(constant<T>(-10), x));
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> inner_tanh(Vec<T> x) {
    const Vec<T> cubic = constant<T>(kCubic) * (x * x);
    return tanh(constant<T>(kScale) * fma(cubic, x, x));
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return constant<T>(0.5) * x * (constant<T>(1) + inner_tanh(bounded(x)));
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> x, Vec<T>) {
    const Vec<T> one = constant<T>(1);
    const Vec<T> z = bounded(x);
    const Vec<T> t = inner_tanh(z);
    const Vec<T> inner = constant<T>(kScale) * fma(constant<T>(3 * kCubic), z * z, one);
    return constant<T>(0.5) * fma(z * (one - t * t), inner, one + t);
  }
};

struct silu_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return x * sigmoid(x);
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> x, Vec<T>) {
    const Vec<T> s = sigmoid(x);
    return s * fma(x, constant<T>(1) - s, constant<T>(1));
  }
};

// mish: with e = exp(x) and n = e (e + 2), tanh(softplus(x)) = n / (n + 2), free of cancellation.
// Beyond x = 20 the quotient is 1 to the last bit of float and within an ULP of double.
struct mish_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    const Vec<T> e = exp(min(constant<T>(20), x));
    const Vec<T> n = e * (e + constant<T>(2));
    return x * (n / (n + constant<T>(2)));
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> x, Vec<T>) {
    const Vec<T> one = constant<T>(1);
    const Vec<T> bounded = min(constant<T>(20), x);
    const Vec<T> e = exp(bounded);
    const Vec<T> n = e * (e + constant<T>(2));
    const Vec<T> q = n + constant<T>(2);
    // 1 - (n / q)^2 = 4 (n + 1) / q^2, and sigmoid(x) = e / (1 + e).
    const Vec<T> slope = (constant<T>(4) * (n + one) / (q * q)) * (e / (one + e));
    return fma(bounded, slope, n / q);
  }
};

struct sigmoid_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return sigmoid(x);
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T>) {
    return y * (constant<T>(1) - y);
  }
};

struct tanh_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return tanh(x);
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T>) {
    return fma(-y, y, constant<T>(1));
  }
};

struct softplus_activation {
  template <class T>
  static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) {
    return softplus(x);
  }
  template <class T>
  static CHAINRULE_INLINE Vec<T> derivative(Vec<T> y, Vec<T>) {
    return -expm1(-y);  // 1 - exp(-softplus(x)) = sigmoid(x)
  }
};

template <class Function, class T>
void activation_forward(const T* x, T* y, int64_t size, T parameter) {
  CHAINRULE_ASSERT(size >= 0 && is_there(x, size) && is_there(y, size));
  CHAINRULE_ASSERT(are_same_or_apart(x, y, size));
  const Vec<T> p = Vec<T>::broadcast(parameter);
  for_vectors<T>(size, [&](int64_t i, auto lanes) {
    lanes.store(y + i, Function::forward(lanes.load(x + i), p));
  });
}

template <class Function, class T>
void activation_backward(const T* grad_y, const T* saved, T* grad_x, int64_t size, T parameter) {
  CHAINRULE_ASSERT(size >= 0 && is_there(grad_y, size) && is_there(saved, size) &&
                   is_there(grad_x, size));
  CHAINRULE_ASSERT(are_same_or_apart(grad_y, grad_x, size) &&
                   are_same_or_apart(saved, grad_x, size));
  const Vec<T> p = Vec<T>::broadcast(parameter);
  for_vectors<T>(size, [&](int64_t i, auto lanes) {
    lanes.store(grad_x + i,
                lanes.load(grad_y + i) * Function::derivative(lanes.load(saved + i), p));
  });
}

}  // namespace
}  // namespace chainrule
