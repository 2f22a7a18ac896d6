// Learning rates over the steps of a fit. Used by training/trainer.cpp and the bindings.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace chainrule {

enum class Schedule {
  constant,
  step,
  exponential,
  inverse_scaling,
  cosine,
  one_cycle,
  reduce_on_plateau
};

struct ScheduleInfo {
  std::string_view name;
  std::string_view parameters;  // comma-separated, in the order of ScheduleSpec::values
};

inline constexpr std::array<ScheduleInfo, 7> kSchedules = {{
    {"constant", ""},
    {"step", "every,factor"},
    {"exponential", "decay"},
    {"inverse_scaling", "power"},
    {"cosine", "warmup_fraction,final_fraction"},
    {"one_cycle", "up_fraction,initial_divisor,final_divisor"},
    // Constant here: the scale that Python sets after an epoch does the reducing.
    {"reduce_on_plateau", "factor,patience,min_learning_rate,min_delta"},
}};

struct ScheduleSpec {
  Schedule schedule = Schedule::constant;
  double learning_rate = 0;
  std::vector<double> values;
};

// The learning rate of step (from 0); steps past the last keep the last one's. total_steps of 0:
// not known, for schedules that do not depend on it.
double learning_rate(const ScheduleSpec& spec, int64_t step, int64_t steps_per_epoch,
                     int64_t total_steps);

}  // namespace chainrule
