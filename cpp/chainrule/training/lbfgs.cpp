#include "training/lbfgs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace chainrule {
namespace {

constexpr double kDecrease = 1e-4;  // c1 of the sufficient decrease condition
constexpr double kCurvature = 0.9;  // c2 of the curvature condition

// The minimizer of the cubic through two points' values and slopes (equation 3.59), or the middle
// when that is not inside the interval by a tenth.
double interpolate(double a, double value_a, double slope_a, double b, double value_b,
                   double slope_b) {
  const double d1 = slope_a + slope_b - 3 * (value_a - value_b) / (a - b);
  const double square = d1 * d1 - slope_a * slope_b;
  const double low = std::min(a, b), high = std::max(a, b), margin = 0.1 * (high - low);
  if (square >= 0) {
    const double d2 = std::copysign(std::sqrt(square), b - a);
    const double step = b - (b - a) * ((slope_b + d2 - d1) / (slope_b - slope_a + 2 * d2));
    if (step > low + margin && step < high - margin) return step;
  }
  return low + 0.5 * (high - low);
}

template <class T>
double largest(const AlignedBuffer<T>& x) {
  double result = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    result = std::max(result, std::abs(static_cast<double>(x[i])));
  }
  return result;
}

}  // namespace

template <class T>
Lbfgs<T>::Lbfgs(int64_t size, int64_t history, double gradient_tolerance, int64_t max_line_search)
    : size_(size),
      history_(history),
      max_line_search_(max_line_search),
      gradient_tolerance_(gradient_tolerance),
      gradient_(size),
      direction_(size),
      trial_(size),
      trial_gradient_(size),
      s_(checked_product(size, history)),
      y_(checked_product(size, history)),
      inverse_curvature_(static_cast<size_t>(history)),
      alpha_(static_cast<size_t>(history)) {}

// direction = -H gradient by the two-loop recursion. False when it does not point downhill.
template <class T>
bool Lbfgs<T>::find_direction() {
  const KernelTable<T>& kernels = *kernels_;
  for (int64_t i = 0; i < size_; ++i) direction_[i] = -gradient_[i];
  for (int64_t k = 1; k <= pairs_; ++k) {  // newest first
    const int64_t p = (next_ - k + history_) % history_;
    const auto at = static_cast<size_t>(p);
    alpha_[at] =
        kernels.dot(s_.data() + p * size_, direction_.data(), size_) * inverse_curvature_[at];
    kernels.add_scaled(static_cast<T>(-alpha_[at]), y_.data() + p * size_, direction_.data(),
                       size_);
  }
  if (pairs_ > 0) {
    const int64_t newest = (next_ - 1 + history_) % history_;
    const T* y = y_.data() + newest * size_;
    const double scale =
        1 / (inverse_curvature_[static_cast<size_t>(newest)] * kernels.dot(y, y, size_));
    for (int64_t i = 0; i < size_; ++i) direction_[i] *= static_cast<T>(scale);
  }
  for (int64_t k = pairs_; k >= 1; --k) {
    const int64_t p = (next_ - k + history_) % history_;
    const auto at = static_cast<size_t>(p);
    const double beta =
        kernels.dot(y_.data() + p * size_, direction_.data(), size_) * inverse_curvature_[at];
    kernels.add_scaled(static_cast<T>(alpha_[at] - beta), s_.data() + p * size_, direction_.data(),
                       size_);
  }
  return kernels.dot(direction_.data(), gradient_.data(), size_) < 0;
}

// Without pairs the direction is the bare gradient, and a step of its size would go too far.
template <class T>
double Lbfgs<T>::first_scale() const {
  if (pairs_ > 0) return 1;
  double sum = 0;
  for (int64_t i = 0; i < size_; ++i) sum += std::abs(static_cast<double>(gradient_[i]));
  return std::min(1.0, 1 / sum);
}

// The objective at origin + step * direction; infinite where it is not finite.
template <class T>
typename Lbfgs<T>::Point Lbfgs<T>::evaluate_at(Objective& objective, double step) {
  const KernelTable<T>& kernels = *kernels_;
  std::copy_n(origin_, size_, trial_.data());
  kernels.add_scaled(static_cast<T>(step), direction_.data(), trial_.data(), size_);
  double value = objective.evaluate(trial_.data(), trial_gradient_.data());
  double slope = kernels.dot(trial_gradient_.data(), direction_.data(), size_);
  if (!std::isfinite(value) || !std::isfinite(slope)) {
    value = std::numeric_limits<double>::infinity();
    slope = std::numeric_limits<double>::infinity();
  }
  return {step, value, slope};
}

// True when `found` (whose parameters and gradient are the trial's) decreases the value.
template <class T>
bool Lbfgs<T>::line_search(Objective& objective, double first_step, Point start, Point& found) {
  const auto decreases_enough = [&](const Point& p) {
    return p.value <= start.value + kDecrease * p.step * start.slope;
  };
  const auto is_flat = [&](const Point& p) {
    return std::abs(p.slope) <= -kCurvature * start.slope;
  };
  Point low = start, high = start;
  bool is_bracketed = false;
  double step = first_step;
  for (int64_t i = 0; i < max_line_search_; ++i) {
    found = evaluate_at(objective, step);
    if (objective.is_stopped()) return false;
    if (!decreases_enough(found) || found.value >= low.value) {
      high = found;
      is_bracketed = true;
    } else {
      if (is_flat(found)) return true;
      if (!is_bracketed && found.slope < 0) {  // still downhill: look further
        low = found;
        step *= 2;
        continue;
      }
      // The slope at `low` must point into the bracket.
      if (!is_bracketed || found.slope * (high.step - low.step) >= 0) high = low;
      low = found;
      is_bracketed = true;
    }
    step = std::isfinite(high.value)
               ? interpolate(low.step, low.value, low.slope, high.step, high.value, high.slope)
               : low.step + 0.1 * (high.step - low.step);
    if (step == low.step || step == high.step) break;
  }
  if (low.step == 0) return false;
  // Out of evaluations: the best point found still decreases the value.
  found = evaluate_at(objective, low.step);
  return !objective.is_stopped();
}

// Keeps the pair of the accepted step when its curvature is positive enough.
template <class T>
void Lbfgs<T>::remember(const T* parameters) {
  if (history_ == 0) return;
  const KernelTable<T>& kernels = *kernels_;
  T *s = s_.data() + next_ * size_, *y = y_.data() + next_ * size_;
  for (int64_t i = 0; i < size_; ++i) {
    s[i] = trial_[i] - parameters[i];
    y[i] = trial_gradient_[i] - gradient_[i];
  }
  const double curvature = kernels.dot(s, y, size_);
  const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  if (!(curvature > epsilon * kernels.dot(y, y, size_))) return;
  inverse_curvature_[static_cast<size_t>(next_)] = 1 / curvature;
  next_ = (next_ + 1) % history_;
  pairs_ = std::min(pairs_ + 1, history_);
}

template <class T>
typename Lbfgs<T>::Memory Lbfgs<T>::remembered(const T* parameters) const {
  const bool has_moved = !std::equal(parameters, parameters + size_, trial_.data());
  const int64_t pairs = has_moved ? 0 : pairs_;
  Memory memory{AlignedBuffer<T>(pairs * size_), AlignedBuffer<T>(pairs * size_), {}};
  for (int64_t k = 0; k < pairs; ++k) {
    const int64_t p = (next_ - pairs + k + history_) % history_;
    std::copy_n(s_.data() + p * size_, size_, memory.s.data() + k * size_);
    std::copy_n(y_.data() + p * size_, size_, memory.y.data() + k * size_);
    memory.inverse_curvature.push_back(inverse_curvature_[static_cast<size_t>(p)]);
  }
  return memory;
}

template <class T>
void Lbfgs<T>::restore(const Memory& memory, const T* parameters) {
  pairs_ = static_cast<int64_t>(memory.inverse_curvature.size());
  next_ = pairs_ % history_;
  std::copy_n(memory.s.data(), pairs_ * size_, s_.data());
  std::copy_n(memory.y.data(), pairs_ * size_, y_.data());
  std::copy(memory.inverse_curvature.begin(), memory.inverse_curvature.end(),
            inverse_curvature_.begin());
  std::copy_n(parameters, size_, trial_.data());
  has_gradient_ = false;
}

template <class T>
typename Lbfgs<T>::Outcome Lbfgs<T>::iterate(const KernelTable<T>& kernels, Objective& objective,
                                             double initial_step, T* parameters, double& value) {
  kernels_ = &kernels;
  // After a step the trial is where the parameters are, unless somebody moved them.
  const bool has_moved = !std::equal(parameters, parameters + size_, trial_.data());
  if (has_moved) pairs_ = 0;
  if (!has_gradient_ || has_moved) {
    value_ = objective.evaluate(parameters, gradient_.data());
    value = value_;
    if (objective.is_stopped()) return Outcome::kStopped;
    if (!std::isfinite(value_) || !kernels.all_finite(gradient_.data(), size_)) {
      return Outcome::kNotFinite;
    }
    has_gradient_ = true;
    std::copy_n(parameters, size_, trial_.data());
  }
  value = value_;
  if (largest(gradient_) <= gradient_tolerance_) return Outcome::kConverged;
  origin_ = parameters;
  Point found{};
  bool has_found = false;
  while (true) {
    if (find_direction()) {
      const double slope = kernels.dot(direction_.data(), gradient_.data(), size_);
      has_found = line_search(objective, initial_step * first_scale(), {0, value_, slope}, found);
      if (has_found || objective.is_stopped()) break;
    }
    if (pairs_ == 0) break;
    pairs_ = 0;  // rounding spoiled the pairs: once more, from steepest descent
  }
  if (!has_found) {
    std::copy_n(parameters, size_, trial_.data());
    return objective.is_stopped() ? Outcome::kStopped : Outcome::kNoDescent;
  }
  remember(parameters);
  std::copy_n(trial_.data(), size_, parameters);
  std::copy_n(trial_gradient_.data(), size_, gradient_.data());
  value_ = value = found.value;
  return Outcome::kMoved;
}

template class Lbfgs<float>;
template class Lbfgs<double>;

}  // namespace chainrule
