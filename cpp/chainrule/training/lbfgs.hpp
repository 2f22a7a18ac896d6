// L-BFGS (Liu and Nocedal 1989; Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms
// 7.4, 7.5) with a line search for the strong Wolfe conditions (algorithms 3.5, 3.6), over one flat
// vector. Used by training/trainer.cpp; calls a variant's vector kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "kernels/kernel_table.hpp"

namespace chainrule {

template <class T>
class Lbfgs {
 public:
  // A function of the parameters: writes the gradient, returns the value; may return NaN or
  // infinity. `is_stopped` says that the last evaluation was cut short.
  class Objective {
   public:
    virtual double evaluate(const T* parameters, T* gradient) = 0;
    virtual bool is_stopped() = 0;

   protected:
    ~Objective() = default;
  };

  enum class Outcome { kMoved, kConverged, kNoDescent, kStopped, kNotFinite };

  Lbfgs(int64_t size, int64_t history, double gradient_tolerance, int64_t max_line_search);

  // The objective may have changed: the next iteration evaluates it anew.
  void forget_value() { has_gradient_ = false; }

  // The pairs as one vector each, oldest first: with the parameters, all that later iterations
  // depend on. `remembered` leaves them out when the parameters are not where the last iteration
  // left them, as the next one would forget them.
  struct Memory {
    AlignedBuffer<T> s, y;
    std::vector<double> inverse_curvature;
  };
  Memory remembered(const T* parameters) const;
  void restore(const Memory& memory, const T* parameters);

  // One iteration from `parameters`, which move only when the outcome is kMoved. `value` is the
  // objective at the parameters on return. kConverged: the largest gradient element is within the
  // tolerance. kNoDescent: the line search found no lower value along a descent direction.
  Outcome iterate(const KernelTable<T>& kernels, Objective& objective, double initial_step,
                  T* parameters, double& value);

 private:
  struct Point {
    double step, value, slope;
  };

  bool find_direction();
  double first_scale() const;
  Point evaluate_at(Objective& objective, double step);
  bool line_search(Objective& objective, double first_step, Point start, Point& found);
  void remember(const T* parameters);

  const KernelTable<T>* kernels_ = nullptr;  // of the iteration
  int64_t size_, history_, max_line_search_;
  double gradient_tolerance_;
  bool has_gradient_ = false;
  double value_ = 0;
  AlignedBuffer<T> gradient_, direction_, trial_, trial_gradient_;
  const T* origin_ = nullptr;
  // Pairs s = change of the parameters, y = change of the gradient; a ring of `history` pairs.
  AlignedBuffer<T> s_, y_;
  std::vector<double> inverse_curvature_, alpha_;
  int64_t pairs_ = 0, next_ = 0;
};

}  // namespace chainrule
