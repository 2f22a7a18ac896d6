#include "training/schedule.hpp"

#include <algorithm>
#include <cmath>

#include "base/portable_math.hpp"
#include "base/whole_power.hpp"

namespace chainrule {
namespace {

// From `start` to `end` along half a cosine, fraction in [0, 1].
double cosine_between(double start, double end, double fraction) {
  return end + (start - end) * (1 + cos_pi(std::clamp(fraction, 0.0, 1.0))) / 2;
}

// Loshchilov and Hutter 2017, after a linear warm-up.
double cosine(double peak, double warmup_fraction, double final_fraction, int64_t step,
              int64_t total_steps) {
  const auto warmup =
      static_cast<int64_t>(std::floor(warmup_fraction * static_cast<double>(total_steps) + 0.5));
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const auto span = static_cast<double>(std::max<int64_t>(1, total_steps - warmup));
  return cosine_between(peak, peak * final_fraction, static_cast<double>(step - warmup) / span);
}

// Smith and Topin 2018, as two phases of cosine annealing.
double one_cycle(double peak, double up_fraction, double initial_divisor, double final_divisor,
                 int64_t step, int64_t total_steps) {
  const double initial = peak / initial_divisor;
  const double up_end = up_fraction * static_cast<double>(total_steps) - 1;
  const double down_end = static_cast<double>(total_steps) - 1;
  const auto t = static_cast<double>(step);
  if (t <= up_end) return cosine_between(initial, peak, up_end > 0 ? t / up_end : 1);
  return cosine_between(peak, initial / final_divisor, (t - up_end) / (down_end - up_end));
}

}  // namespace

double learning_rate(const ScheduleSpec& spec, int64_t step, int64_t steps_per_epoch,
                     int64_t total_steps) {
  const double rate = spec.learning_rate;
  const std::vector<double>& v = spec.values;
  if (total_steps > 0) step = std::min(step, total_steps - 1);
  const int64_t epoch = step / std::max<int64_t>(steps_per_epoch, 1);
  switch (spec.schedule) {
    case Schedule::constant:
    case Schedule::reduce_on_plateau:
      return rate;
    case Schedule::step:
      return rate * whole_power(v[1], epoch / std::max<int64_t>(1, static_cast<int64_t>(v[0])));
    case Schedule::exponential:
      return rate * whole_power(v[0], epoch);
    case Schedule::inverse_scaling:
      return rate / portable_pow(static_cast<double>(step + 1), v[0]);
    case Schedule::cosine:
      return cosine(rate, v[0], v[1], step, total_steps);
    case Schedule::one_cycle:
      return one_cycle(rate, v[0], v[1], v[2], step, total_steps);
  }
  return rate;
}

}  // namespace chainrule
