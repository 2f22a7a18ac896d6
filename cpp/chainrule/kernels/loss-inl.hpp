// The losses, value and gradient in one pass. Compiled per variant; a row of losses.inc names a
// function of this file, `<name>_loss`, which keeps the contract of LossKernel.
//
// Targets of the losses with several output columns for one target column:
//   quantile      outputs (m, t Q): column j Q + q predicts quantile values[q] of target j
//   gaussian_nll  outputs (m, 2 t): columns [0, t) are means, [t, 2 t) log variances
// Sources: huber Huber 1964; quantile Koenker and Bassett 1978; label smoothing Szegedy et al.
// 2016; gaussian_nll Nix and Weigend 1994.
#pragma once

#include "kernels/activation-inl.hpp"
#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

// What a function of one output and one target gives.
template <class T>
struct ValueAndSlope {
  Vec<T> value, slope;
};

// What every loss demands.
template <class T>
CHAINRULE_INLINE void assert_loss(const LossArguments<T>& args) {
  CHAINRULE_ASSERT(args.rows >= 0 && args.columns >= 0 && args.value_count >= 0);
  CHAINRULE_ASSERT(is_there(args.outputs, args.rows * args.columns));
  CHAINRULE_ASSERT(args.targets == nullptr || args.labels == nullptr);
  CHAINRULE_ASSERT(args.rows * args.columns == 0 || args.targets != nullptr ||
                   args.labels != nullptr);
  CHAINRULE_ASSERT(is_there(args.values, args.value_count));
  CHAINRULE_ASSERT(
      are_apart(args.gradient, args.rows * args.columns, args.outputs, args.rows * args.columns));
}

// Losses whose row loss is a sum over columns of function(output, target).
template <class T, class Function>
CHAINRULE_INLINE double elementwise_loss(const LossArguments<T>& args, const Function& function) {
  assert_loss(args);
  // One run over `size` elements that share a weight, or have one each.
  DoubleSum<T> sum;
  const auto run = [&](int64_t start, int64_t size, auto weight) {
    sum.add(size, [&](int64_t i, auto lanes) {
      const ValueAndSlope<T> result =
          function(lanes.load(args.outputs + start + i), lanes.load(args.targets + start + i));
      const Vec<T> w = weight(i, lanes);
      if (args.gradient != nullptr) {
        lanes.store(args.gradient + start + i, result.slope * (w * Vec<T>::broadcast(args.scale)));
      }
      return w * result.value;
    });
  };
  if (args.row_weights == nullptr) {
    run(0, args.rows * args.columns, [](int64_t, auto) { return constant<T>(1); });
  } else if (args.columns == 1) {
    run(0, args.rows, [&](int64_t i, auto lanes) { return lanes.load(args.row_weights + i); });
  } else {
    for (int64_t r = 0; r < args.rows; ++r) {
      const Vec<T> w = Vec<T>::broadcast(args.row_weights[r]);
      run(r * args.columns, args.columns, [w](int64_t, auto) { return w; });
    }
  }
  return sum.total();
}

template <class T>
double mse_loss(const LossArguments<T>& args) {
  return elementwise_loss(args, [](Vec<T> output, Vec<T> target) {
    const Vec<T> d = output - target;
    return ValueAndSlope<T>{d * d, d + d};
  });
}

template <class T>
double mae_loss(const LossArguments<T>& args) {
  return elementwise_loss(args, [](Vec<T> output, Vec<T> target) {
    const Vec<T> d = output - target;
    const Vec<T> zero = Vec<T>::zero();
    return ValueAndSlope<T>{abs(d), select(d == zero, zero, signed_like(d, constant<T>(1)))};
  });
}

template <class T>
double huber_loss(const LossArguments<T>& args) {
  const Vec<T> delta = Vec<T>::broadcast(args.parameter);
  return elementwise_loss(args, [delta](Vec<T> output, Vec<T> target) {
    const Vec<T> d = output - target;
    const Vec<T> size = abs(d);
    const Vec<T> half = constant<T>(0.5);
    const auto inside = size <= delta;
    return ValueAndSlope<T>{select(inside, half * (d * d), delta * (size - half * delta)),
                            select(inside, d, signed_like(d, delta))};
  });
}

// Of logits: softplus(z) - y z.
template <class T>
double binary_cross_entropy_loss(const LossArguments<T>& args) {
  return elementwise_loss(args, [](Vec<T> logit, Vec<T> target) {
    return ValueAndSlope<T>{softplus(logit) - target * logit, sigmoid(logit) - target};
  });
}

// Of the log rate: exp(z) - y z.
template <class T>
double poisson_loss(const LossArguments<T>& args) {
  return elementwise_loss(args, [](Vec<T> log_rate, Vec<T> target) {
    const Vec<T> rate = exp(log_rate);
    return ValueAndSlope<T>{rate - target * log_rate, rate - target};
  });
}

template <class T>
double quantile_loss(const LossArguments<T>& args) {
  assert_loss(args);
  CHAINRULE_ASSERT(args.value_count > 0 && args.columns % args.value_count == 0);
  const int64_t targets = args.columns / args.value_count;
  double total = 0;
  for (int64_t r = 0; r < args.rows; ++r) {
    const T weight = args.row_weights == nullptr ? T{1} : args.row_weights[r];
    for (int64_t j = 0; j < targets; ++j) {
      for (int64_t q = 0; q < args.value_count; ++q) {
        const int64_t i = r * args.columns + j * args.value_count + q;
        const T level = args.values[q];
        const T error = args.targets[r * targets + j] - args.outputs[i];
        const T slope = error > 0 ? level : error < 0 ? level - T{1} : T{0};
        // NaN must reach the total, so the value is a product with the error itself.
        total += static_cast<double>(weight * (slope * error));
        if (args.gradient != nullptr) args.gradient[i] = one_nan(-slope * (weight * args.scale));
      }
    }
  }
  return total;
}

template <class T>
double gaussian_nll_loss(const LossArguments<T>& args) {
  assert_loss(args);
  CHAINRULE_ASSERT(args.columns % 2 == 0);
  const int64_t targets = args.columns / 2;
  DoubleSum<T> sum;
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* mean = args.outputs + r * args.columns;
    const T* log_variance = mean + targets;
    const T* target = args.targets + r * targets;
    T* gradient = args.gradient == nullptr ? nullptr : args.gradient + r * args.columns;
    const Vec<T> w =
        args.row_weights == nullptr ? constant<T>(1) : Vec<T>::broadcast(args.row_weights[r]);
    const Vec<T> half = constant<T>(0.5);
    sum.add(targets, [&](int64_t j, auto lanes) {
      const Vec<T> d = lanes.load(mean + j) - lanes.load(target + j);
      const Vec<T> s = lanes.load(log_variance + j);
      const Vec<T> precision = exp(-s);
      const Vec<T> scaled = d * precision;
      if (gradient != nullptr) {
        const Vec<T> factor = w * Vec<T>::broadcast(args.scale);
        lanes.store(gradient + j, scaled * factor);
        lanes.store(gradient + targets + j, half * (constant<T>(1) - d * scaled) * factor);
      }
      return w * (half * fma(d, scaled, s));
    });
  }
  return sum.total();
}

template <class T>
struct ZerosThenMinusInfinity {
  constexpr ZerosThenMinusInfinity() : values{} {
    for (int l = kVirtualLanes; l < 2 * kVirtualLanes; ++l) {
      values[l] = -static_cast<T>(__builtin_huge_val());
    }
  }
  T values[2 * kVirtualLanes];
};
template <class T>
constexpr ZerosThenMinusInfinity<T> kZerosThenMinusInfinity{};

// Minus infinity in the lanes past the end, so that their exponentials are 0.
template <class T>
CHAINRULE_INLINE Vec<T> only(WholeLanes<T>, Vec<T> v) {
  return v;
}
template <class T>
CHAINRULE_INLINE Vec<T> only(FirstLanes<T> lanes, Vec<T> v) {
  return v + Vec<T>::load(kZerosThenMinusInfinity<T>.values + kVirtualLanes - lanes.count);
}

template <class T>
CHAINRULE_INLINE T row_max(const T* row, int64_t columns) {
  constexpr int kLanes = static_cast<int>(Vec<T>::kLanes);
  Vec<T> most = Vec<T>::broadcast(row[0]);
  for_vectors<T>(
      columns, [&](int64_t c, auto lanes) { most = max(most, only(lanes, lanes.load(row + c))); });
  T values[kLanes];
  most.store(values);
  return fold<kLanes / 2>(values, [](T a, T b) CHAINRULE_INLINE_LAMBDA { return a > b ? a : b; });
}

// What the softmax of a row of logits z needs: max z, sum exp(z - max z), and its logarithm.
template <class T>
struct Softmax {
  T max, sum, log_sum;
};

// Of up to kVirtualLanes rows, so that their logarithms share vectors. The rows of the gradient,
// when there is one, are left with the exponentials.
template <class T>
CHAINRULE_INLINE void softmax_rows(const LossArguments<T>& args, int64_t first, int64_t count,
                                   Softmax<T>* result) {
  T sums[kVirtualLanes];
  for (int64_t i = 0; i < kVirtualLanes; ++i) sums[i] = 1;
  for (int64_t i = 0; i < count; ++i) {
    const T* logits = args.outputs + (first + i) * args.columns;
    T* exponentials =
        args.gradient == nullptr ? nullptr : args.gradient + (first + i) * args.columns;
    result[i].max = row_max(logits, args.columns);
    const Vec<T> max = Vec<T>::broadcast(result[i].max);
    sums[i] = row_sum<T>(args.columns, [&](int64_t c, auto lanes) {
      const Vec<T> e = exp(only(lanes, lanes.load(logits + c) - max));
      if (exponentials != nullptr) lanes.store(exponentials + c, e);
      return e;
    });
    result[i].sum = sums[i];
  }
  for (int64_t l = 0; l < kVirtualLanes; l += Vec<T>::kLanes) {
    log(Vec<T>::load(sums + l)).store(sums + l);
  }
  for (int64_t i = 0; i < count; ++i) result[i].log_sum = sums[i];
}

// Softmax and cross-entropy of one row of logits, fused. With target distribution q (a label or
// probabilities, smoothed by epsilon) and class weights w:
//   loss = sum_c w_c q_c (log sum_k exp(z_k) - z_c)
//   gradient_c = softmax_c * (sum_k w_k q_k) - w_c q_c
template <class T>
class CrossEntropyRow {
 public:
  CrossEntropyRow(const LossArguments<T>& args, int64_t row, const Softmax<T>& softmax)
      : args_(args),
        logits_(args.outputs + row * args.columns),
        columns_(args.columns),
        uniform_(args.parameter / static_cast<T>(args.columns)),
        kept_(T{1} - args.parameter),
        max_(softmax.max),
        sum_(softmax.sum),
        log_sum_(softmax.log_sum) {}

  // Labels without smoothing and class weights, the common case, need one element.
  double label_loss(int32_t label) const {
    return static_cast<double>(kept_ * class_weight(label) * ((max_ - logits_[label]) + log_sum_));
  }

  // The part of the loss of target distribution q(c, lanes), already weighted.
  template <class Distribution>
  double loss(const Distribution& q) const {
    const Vec<T> max = Vec<T>::broadcast(max_);
    const Vec<T> log_sum = Vec<T>::broadcast(log_sum_);
    DoubleSum<T> sum;
    sum.add(columns_, [&](int64_t c, auto lanes) {
      return q(c, lanes) * ((max - lanes.load(logits_ + c)) + log_sum);
    });
    return sum.total();
  }

  // gradient = factor * (softmax * mass - q); the row of the gradient holds the exponentials.
  template <class Distribution>
  void gradient(T* row, T mass, T factor, const Distribution& q) const {
    const Vec<T> scale = Vec<T>::broadcast(mass / sum_);
    const Vec<T> f = Vec<T>::broadcast(factor);
    for_vectors<T>(columns_, [&](int64_t c, auto lanes) {
      lanes.store(row + c, (lanes.load(row + c) * scale - q(c, lanes)) * f);
    });
  }

  T class_weight(int64_t c) const { return args_.value_count > 0 ? args_.values[c] : T{1}; }
  T uniform() const { return uniform_; }
  T kept() const { return kept_; }

 private:
  const LossArguments<T>& args_;
  const T* logits_;
  int64_t columns_;
  T uniform_, kept_;
  T max_, sum_, log_sum_;
};

template <class T>
double cross_entropy_loss(const LossArguments<T>& args) {
  assert_loss(args);
  if (args.columns == 0) return 0;
  const bool plain = args.parameter == 0 && args.value_count == 0;
  double total = 0;
  Softmax<T> softmax[kVirtualLanes];
  for (int64_t r = 0; r < args.rows; ++r) {
    if (r % kVirtualLanes == 0) {
      const int64_t left = args.rows - r;
      softmax_rows(args, r, left < kVirtualLanes ? left : kVirtualLanes, softmax);
    }
    const CrossEntropyRow<T> row(args, r, softmax[r % kVirtualLanes]);
    const T weight = args.row_weights == nullptr ? T{1} : args.row_weights[r];
    T* gradient = args.gradient == nullptr ? nullptr : args.gradient + r * args.columns;
    const auto weighted = [&](Vec<T> q, int64_t c, auto lanes) {
      return args.value_count > 0 ? q * lanes.load(args.values + c) : q;
    };
    if (args.labels != nullptr) {
      const int32_t label = args.labels[r];
      const auto uniform = [&](int64_t c, auto lanes) {
        return plain ? Vec<T>::zero() : weighted(Vec<T>::broadcast(row.uniform()), c, lanes);
      };
      const T label_mass = row.kept() * row.class_weight(label);
      T mass = label_mass;
      double loss = row.label_loss(label);
      if (!plain) {
        for (int64_t c = 0; c < args.columns; ++c) mass += row.uniform() * row.class_weight(c);
        loss += row.loss(uniform);
      }
      total += static_cast<double>(weight) * loss;
      if (gradient != nullptr) {
        const T factor = weight * args.scale;
        row.gradient(gradient, mass, factor, uniform);
        gradient[label] = one_nan(gradient[label] - label_mass * factor);
      }
    } else {
      const T* probabilities = args.targets + r * args.columns;
      const auto smoothed = [&](int64_t c, auto lanes) {
        const Vec<T> q = fma(Vec<T>::broadcast(row.kept()), lanes.load(probabilities + c),
                             Vec<T>::broadcast(row.uniform()));
        return weighted(q, c, lanes);
      };
      T mass = 0;
      for (int64_t c = 0; c < args.columns; ++c) {
        mass += (row.kept() * probabilities[c] + row.uniform()) * row.class_weight(c);
      }
      total += static_cast<double>(weight) * row.loss(smoothed);
      if (gradient != nullptr) row.gradient(gradient, mass, weight * args.scale, smoothed);
    }
  }
  return total;
}

}  // namespace
}  // namespace chainrule
