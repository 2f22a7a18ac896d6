// The optimizers: one fused pass over parameters, gradient and state. Compiled per variant; a row
// of optimizers.inc names two functions of this file:
//   <name>_prepare(step, coefficients)  the scalars of one step, in double, rounded to T
//   <name>_step(arguments)              the pass
// With g the gradient scaled and clipped, and w already multiplied by the weight decay:
// Sources: momentum Polyak 1964, Sutskever et al. 2013; rmsprop Tieleman and Hinton 2012, Graves
// 2013 (centered); adagrad Duchi et al. 2011; adam Kingma and Ba 2015, Reddi et al. 2018 (amsgrad),
// Loshchilov and Hutter 2019 (decoupled decay); nadam Dozat 2016; lion Chen et al. 2023.
#pragma once

#include "base/whole_power.hpp"
#include "kernels/activation-inl.hpp"
#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

inline double square_root(double x) {
  return on_scalar<double>([](Vec<double> v) { return sqrt(v); }, x);
}

// update(i, lanes, g, w) -> the new w, for every vector of the parameters.
template <class T, class Update>
CHAINRULE_INLINE void update_parameters(const OptimizerArguments<T>& args, const Update& update) {
  CHAINRULE_ASSERT(args.size >= 0);
  CHAINRULE_ASSERT(is_there(args.parameters, args.size) && is_there(args.gradient, args.size));
  CHAINRULE_ASSERT(are_apart(args.parameters, args.size, args.gradient, args.size));
  const Vec<T> decay = Vec<T>::broadcast(args.decay);
  const Vec<T> scale = Vec<T>::broadcast(args.gradient_scale);
  const Vec<T> clip = Vec<T>::broadcast(args.clip_value);
  for_vectors<T>(args.size, [&](int64_t i, auto lanes) {
    const Vec<T> g = max(-clip, min(clip, lanes.load(args.gradient + i) * scale));
    const Vec<T> w = lanes.load(args.parameters + i) * decay;
    lanes.store(args.parameters + i, update(i, lanes, g, w));
  });
}

// sgd: b = momentum b + g, u = g + momentum b (Nesterov) or b, w -= learning_rate u

template <class T>
void sgd_prepare(OptimizerStep& step, T* c) {
  c[0] = static_cast<T>(step.learning_rate);
  c[1] = static_cast<T>(step.values[0]);
  c[2] = static_cast<T>(step.values[1]);
}

template <class T>
void sgd_step(const OptimizerArguments<T>& args) {
  const Vec<T> rate = -Vec<T>::broadcast(args.coefficients[0]);
  const Vec<T> momentum = Vec<T>::broadcast(args.coefficients[1]);
  const bool nesterov = args.coefficients[2] != 0;
  T* velocity = args.states[0];
  if (velocity == nullptr) {
    update_parameters(args, [&](int64_t, auto, Vec<T> g, Vec<T> w) { return fma(rate, g, w); });
    return;
  }
  update_parameters(args, [&](int64_t i, auto lanes, Vec<T> g, Vec<T> w) {
    const Vec<T> v = fma(momentum, lanes.load(velocity + i), g);
    lanes.store(velocity + i, v);
    return fma(rate, nesterov ? fma(momentum, v, g) : v, w);
  });
}

// rmsprop: v = rho v + (1 - rho) g^2, d = sqrt(v [- mean g ^2]) + epsilon
//   b = momentum b + g / d, w -= learning_rate b

template <class T>
void rmsprop_prepare(OptimizerStep& step, T* c) {
  c[0] = static_cast<T>(step.learning_rate);
  c[1] = static_cast<T>(step.values[0]);
  c[2] = static_cast<T>(1 - step.values[0]);
  c[3] = static_cast<T>(step.values[1]);
  c[4] = static_cast<T>(step.values[2]);
}

template <class T>
void rmsprop_step(const OptimizerArguments<T>& args) {
  const Vec<T> rate = -Vec<T>::broadcast(args.coefficients[0]);
  const Vec<T> rho = Vec<T>::broadcast(args.coefficients[1]);
  const Vec<T> rest = Vec<T>::broadcast(args.coefficients[2]);
  const Vec<T> epsilon = Vec<T>::broadcast(args.coefficients[3]);
  const Vec<T> momentum = Vec<T>::broadcast(args.coefficients[4]);
  T *square = args.states[0], *velocity = args.states[1], *mean = args.states[2];
  update_parameters(args, [&](int64_t i, auto lanes, Vec<T> g, Vec<T> w) {
    const Vec<T> v = fma(rho, lanes.load(square + i), rest * (g * g));
    lanes.store(square + i, v);
    Vec<T> variance = v;
    if (mean != nullptr) {
      const Vec<T> a = fma(rho, lanes.load(mean + i), rest * g);
      lanes.store(mean + i, a);
      variance = max(fma(-a, a, v), Vec<T>::zero());
    }
    Vec<T> u = g / (sqrt(variance) + epsilon);
    if (velocity != nullptr) {
      u = fma(momentum, lanes.load(velocity + i), u);
      lanes.store(velocity + i, u);
    }
    return fma(rate, u, w);
  });
}

// adagrad: s += g^2, w -= learning_rate g / (sqrt(s) + epsilon)

template <class T>
void adagrad_prepare(OptimizerStep& step, T* c) {
  c[0] = static_cast<T>(step.learning_rate);
  c[1] = static_cast<T>(step.values[0]);
}

template <class T>
void adagrad_step(const OptimizerArguments<T>& args) {
  const Vec<T> rate = -Vec<T>::broadcast(args.coefficients[0]);
  const Vec<T> epsilon = Vec<T>::broadcast(args.coefficients[1]);
  T* sum = args.states[0];
  update_parameters(args, [&](int64_t i, auto lanes, Vec<T> g, Vec<T> w) {
    const Vec<T> s = fma(g, g, lanes.load(sum + i));
    lanes.store(sum + i, s);
    return fma(rate, g / (sqrt(s) + epsilon), w);
  });
}

// adam: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2
//   w -= learning_rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
// With amsgrad the largest v so far stands in the denominator; with epsilon_hat (section 2 of
// Kingma and Ba) epsilon is added to sqrt(v): d = (sqrt(v) + epsilon) / sqrt(1 - beta2^t).

template <class T>
void adam_prepare(OptimizerStep& step, T* c) {
  const double beta1 = step.values[0], beta2 = step.values[1];
  c[0] = static_cast<T>(step.learning_rate / (1 - whole_power(beta1, step.step)));
  c[1] = static_cast<T>(beta1);
  c[2] = static_cast<T>(1 - beta1);
  c[3] = static_cast<T>(beta2);
  c[4] = static_cast<T>(1 - beta2);
  const double correction = 1 / square_root(1 - whole_power(beta2, step.step));
  c[5] = static_cast<T>(correction);
  c[6] = static_cast<T>(step.values[4] != 0 ? step.values[2] * correction : step.values[2]);
}

template <class T>
void adam_step(const OptimizerArguments<T>& args) {
  const Vec<T> rate = -Vec<T>::broadcast(args.coefficients[0]);
  const Vec<T> beta1 = Vec<T>::broadcast(args.coefficients[1]);
  const Vec<T> rest1 = Vec<T>::broadcast(args.coefficients[2]);
  const Vec<T> beta2 = Vec<T>::broadcast(args.coefficients[3]);
  const Vec<T> rest2 = Vec<T>::broadcast(args.coefficients[4]);
  const Vec<T> correction = Vec<T>::broadcast(args.coefficients[5]);
  const Vec<T> epsilon = Vec<T>::broadcast(args.coefficients[6]);
  T *first = args.states[0], *second = args.states[1], *largest = args.states[2];
  update_parameters(args, [&](int64_t i, auto lanes, Vec<T> g, Vec<T> w) {
    const Vec<T> m = fma(beta1, lanes.load(first + i), rest1 * g);
    Vec<T> v = fma(beta2, lanes.load(second + i), rest2 * (g * g));
    lanes.store(first + i, m);
    lanes.store(second + i, v);
    if (largest != nullptr) {
      v = max(lanes.load(largest + i), v);
      lanes.store(largest + i, v);
    }
    return fma(rate, m / fma(sqrt(v), correction, epsilon), w);
  });
}

// nadam: adam's m and v; mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)
//   w -= learning_rate ((1 - mu_t) / (1 - prod mu) g + mu_{t+1} / (1 - prod mu mu_{t+1}) m) / d
//   d = sqrt(v / (1 - beta2^t)) + epsilon

inline double nadam_momentum(double beta1, double decay, int64_t step) {
  constexpr double kLog096 = -0.040821994520255166;  // log(0.96)
  const double factor = on_scalar<double>([](Vec<double> v) { return exp(v); },
                                          static_cast<double>(step) * decay * kLog096);
  return beta1 * (1 - 0.5 * factor);
}

template <class T>
void nadam_prepare(OptimizerStep& step, T* c) {
  const double beta1 = step.values[0], beta2 = step.values[1], decay = step.values[3];
  if (step.memory_step != step.step - 1) {
    step.memory = 1;
    // It underflows after thousands of steps, and stays 0.
    for (int64_t t = 1; t < step.step && step.memory != 0; ++t) {
      step.memory *= nadam_momentum(beta1, decay, t);
    }
  }
  const double mu = nadam_momentum(beta1, decay, step.step);
  const double next = nadam_momentum(beta1, decay, step.step + 1);
  step.memory *= mu;
  step.memory_step = step.step;
  c[0] = static_cast<T>(step.learning_rate * (1 - mu) / (1 - step.memory));
  c[1] = static_cast<T>(beta1);
  c[2] = static_cast<T>(1 - beta1);
  c[3] = static_cast<T>(beta2);
  c[4] = static_cast<T>(1 - beta2);
  c[5] = static_cast<T>(1 / square_root(1 - whole_power(beta2, step.step)));
  c[6] = static_cast<T>(step.values[2]);
  c[7] = static_cast<T>(step.learning_rate * next / (1 - step.memory * next));
}

template <class T>
void nadam_step(const OptimizerArguments<T>& args) {
  const Vec<T> gradient_rate = Vec<T>::broadcast(args.coefficients[0]);
  const Vec<T> beta1 = Vec<T>::broadcast(args.coefficients[1]);
  const Vec<T> rest1 = Vec<T>::broadcast(args.coefficients[2]);
  const Vec<T> beta2 = Vec<T>::broadcast(args.coefficients[3]);
  const Vec<T> rest2 = Vec<T>::broadcast(args.coefficients[4]);
  const Vec<T> correction = Vec<T>::broadcast(args.coefficients[5]);
  const Vec<T> epsilon = Vec<T>::broadcast(args.coefficients[6]);
  const Vec<T> moment_rate = Vec<T>::broadcast(args.coefficients[7]);
  T *first = args.states[0], *second = args.states[1];
  update_parameters(args, [&](int64_t i, auto lanes, Vec<T> g, Vec<T> w) {
    const Vec<T> m = fma(beta1, lanes.load(first + i), rest1 * g);
    const Vec<T> v = fma(beta2, lanes.load(second + i), rest2 * (g * g));
    lanes.store(first + i, m);
    lanes.store(second + i, v);
    return w - fma(moment_rate, m, gradient_rate * g) / fma(sqrt(v), correction, epsilon);
  });
}

// lion: w -= learning_rate sign(beta1 m + (1 - beta1) g), m = beta2 m + (1 - beta2) g

template <class T>
void lion_prepare(OptimizerStep& step, T* c) {
  c[0] = static_cast<T>(step.learning_rate);
  c[1] = static_cast<T>(step.values[0]);
  c[2] = static_cast<T>(1 - step.values[0]);
  c[3] = static_cast<T>(step.values[1]);
  c[4] = static_cast<T>(1 - step.values[1]);
}

template <class T>
void lion_step(const OptimizerArguments<T>& args) {
  const Vec<T> rate = Vec<T>::broadcast(args.coefficients[0]);
  const Vec<T> beta1 = Vec<T>::broadcast(args.coefficients[1]);
  const Vec<T> rest1 = Vec<T>::broadcast(args.coefficients[2]);
  const Vec<T> beta2 = Vec<T>::broadcast(args.coefficients[3]);
  const Vec<T> rest2 = Vec<T>::broadcast(args.coefficients[4]);
  T* moment = args.states[0];
  update_parameters(args, [&](int64_t i, auto lanes, Vec<T> g, Vec<T> w) {
    const Vec<T> m = lanes.load(moment + i);
    const Vec<T> u = fma(beta1, m, rest1 * g);
    lanes.store(moment + i, fma(beta2, m, rest2 * g));
    return w - select(u == Vec<T>::zero(), Vec<T>::zero(), signed_like(u, rate));
  });
}

}  // namespace
}  // namespace chainrule
