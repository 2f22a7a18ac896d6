// Trainers, optimizer steps and schedules.
#include "binding_types.hpp"
#include "interpreter.hpp"
#include "register.hpp"
#include "training/trainer.hpp"

namespace chainrule::bindings {
namespace {

using namespace py::literals;

const char* status_name(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning:
      return "running";
    case RunStatus::kEpochEnd:
      return "epoch_end";
    case RunStatus::kConverged:
      return "converged";
    case RunStatus::kLoss:
      return "loss";
    case RunStatus::kGradient:
      return "gradient";
    case RunStatus::kParameters:
      return "parameters";
    case RunStatus::kStatistics:
      return "statistics";
    case RunStatus::kLineSearch:
      return "line_search";
    case RunStatus::kInterrupted:
      break;
  }
  return "interrupted";
}

// The kernels read a value for each of these names, comma-separated.
void require_values(std::string_view names, const std::vector<double>& values,
                    const std::string& of) {
  const auto commas = static_cast<size_t>(std::ranges::count(names, ','));
  const size_t expected = names.empty() ? 0 : commas + 1;
  if (values.size() != expected) {
    throw py::value_error(of + " must have " + std::to_string(expected) + " values, got " +
                          std::to_string(values.size()));
  }
}

template <class T>
struct BoundTrainer {
  BoundTrainer(BoundNetwork<T>& bound_model, TrainerOptions options)
      : model(bound_model), loss(options.loss), trainer(bound_model.network, std::move(options)) {}

  BoundNetwork<T>& model;
  LossSpec loss;
  int threads = 0;  // at most; 0: as many as the process is set to

  Trainer<T> trainer;
  // Of the bound dataset, kept alive:
  Array<T> x;
  py::array targets;
  OptionalArray<T> sample_weight;
};

// By the model's team, from which InUse keeps others.
template <class T, class Function>
RunResult run_interruptible(BoundTrainer<T>& self, const Function& function) {
  const InUse<T> use(self.model);
  self.model.precision = self.trainer.precision();
  return compute_interruptible(self.model.team, self.threads, function);
}

template <class T>
Dataset<T> dataset_of(const BoundTrainer<T>& self, const Array<T>& x, const py::array& targets,
                      const OptionalArray<T>& sample_weight) {
  CallArrays arrays;
  const MatrixView<const T> rows =
      arrays.matrix(x, "X", kAnyRows, self.model.network.in_features());
  return {rows.data, rows.rows, rows.columns,
          target_view(arrays, self.loss, targets, "y", sample_weight, rows.rows,
                      self.model.network.out_features())};
}

// None without L-BFGS, else the pairs and their inverse curvatures, copied.
template <class T>
py::object lbfgs_memory(BoundTrainer<T>& self) {
  const Lbfgs<T>* lbfgs = self.trainer.lbfgs();
  if (lbfgs == nullptr) return py::none();
  const AlignedBuffer<T>& parameters = self.model.network.parameters();
  const auto memory = lbfgs->remembered(parameters.data());
  const auto pairs = static_cast<py::ssize_t>(memory.inverse_curvature.size());
  const std::vector<py::ssize_t> shape = {pairs, parameters.size()};
  return py::make_tuple(Array<T>(shape, memory.s.data()), Array<T>(shape, memory.y.data()),
                        Array<double>(pairs, memory.inverse_curvature.data()));
}

// Takes the result of lbfgs_memory; the caller has restored the parameters of that moment.
template <class T>
void set_lbfgs_memory(BoundTrainer<T>& self,
                      const std::tuple<Array<T>, Array<T>, Array<double>>& pairs) {
  const auto& [s, y, inverse_curvature] = pairs;
  if (self.trainer.lbfgs() == nullptr) throw py::value_error("lbfgs_memory is for L-BFGS alone");
  const int64_t size = self.model.network.parameters().size();
  read_matrix(s, "lbfgs_memory[0]", inverse_curvature.size(), size);
  read_matrix(y, "lbfgs_memory[1]", inverse_curvature.size(), size);
  typename Lbfgs<T>::Memory memory{AlignedBuffer<T>(s.size()), AlignedBuffer<T>(y.size()), {}};
  std::copy_n(read(s), s.size(), memory.s.data());
  std::copy_n(read(y), y.size(), memory.y.data());
  memory.inverse_curvature.assign(read(inverse_curvature),
                                  read(inverse_curvature) + inverse_curvature.size());
  self.trainer.lbfgs()->restore(memory, self.model.network.parameters().data());
}

template <class T>
void register_trainer(py::module_& module, const char* name) {
  using Bound = BoundTrainer<T>;
  py::class_<Bound>(module, name)
      .def(py::init([](BoundNetwork<T>& model, const LossSpec& loss, const OptimizerSpec& optimizer,
                       const ScheduleSpec& schedule, double l1, double l2, bool penalize_biases,
                       bool divide_penalties, double clip_norm, double clip_value, uint64_t seed,
                       int64_t shards) {
             const FlushToZero flush;
             return std::make_unique<Bound>(model, TrainerOptions{loss,
                                                                  optimizer,
                                                                  schedule,
                                                                  {l1, l2, penalize_biases},
                                                                  divide_penalties,
                                                                  clip_norm,
                                                                  clip_value,
                                                                  seed,
                                                                  shards});
           }),
           "model"_a, "loss"_a, "optimizer"_a, "schedule"_a, "l1"_a, "l2"_a, "penalize_biases"_a,
           "divide_penalties"_a, "clip_norm"_a, "clip_value"_a, "seed"_a, "shards"_a,
           py::keep_alive<1, 2>())
      .def_readwrite("threads", &Bound::threads)
      .def_property(
          "precision", [](const Bound& self) { return name_of<T>(self.trainer.precision()); },
          [](Bound& self, const std::string& value) {
            self.trainer.set_precision(precision_of<T>(value));
          })
      .def_property(
          "epoch", [](const Bound& self) { return self.trainer.epoch; },
          [](Bound& self, int64_t epoch) { self.trainer.epoch = epoch; })
      .def_property(
          "step_count", [](const Bound& self) { return self.trainer.step_count; },
          [](Bound& self, int64_t steps) { self.trainer.step_count = steps; })
      .def_property(
          "learning_rate_scale", [](const Bound& self) { return self.trainer.learning_rate_scale; },
          [](Bound& self, double scale) { self.trainer.learning_rate_scale = scale; })
      .def_property(
          "learning_rate", [](const Bound& self) { return self.trainer.learning_rate(); },
          [](Bound& self, double rate) { self.trainer.set_learning_rate(rate); })
      .def_property("lbfgs_memory", lbfgs_memory<T>, set_lbfgs_memory<T>)
      .def_property(
          "progress",
          [](const Bound& self) {
            const EpochProgress& p = self.trainer.progress;
            return py::make_tuple(p.rows, p.steps, p.loss_sum, p.weight_sum, p.penalty_sum);
          },
          [](Bound& self, const std::tuple<int64_t, int64_t, double, double, double>& value) {
            const auto& [rows, steps, loss_sum, weight_sum, penalty_sum] = value;
            self.trainer.progress = {rows, steps, loss_sum, weight_sum, penalty_sum};
          })
      .def_property_readonly("evaluations",
                             [](const Bound& self) { return self.trainer.evaluations; })
      .def_property_readonly(
          "states",
          [](py::object self) {
            py::list states;
            for (AlignedBuffer<T>& state : self.cast<Bound&>().trainer.states()) {
              states.append(state.empty() ? py::object(py::none()) : py::object(view(state, self)));
            }
            return states;
          })
      .def(
          "step",
          [](Bound& self, const Array<T>& x, const py::array& targets,
             const OptionalArray<T>& sample_weight) {
            const Dataset<T> data = dataset_of(self, x, targets, sample_weight);
            const Batch<T> batch{data.x, data.rows, data.targets};
            const RunResult result =
                run_interruptible(self, [&](Team& team) { return self.trainer.step(team, batch); });
            return py::make_tuple(status_name(result.status), result.loss);
          },
          "x"_a.noconvert(), "targets"_a, "sample_weight"_a.noconvert())
      .def(
          "batch_count",
          [](const Bound& self, int64_t rows, int64_t batch_size) {
            return self.trainer.batch_count(rows, batch_size);
          },
          "rows"_a, "batch_size"_a)
      .def(
          "bind",
          [](Bound& self, const Array<T>& x, const py::array& targets,
             const OptionalArray<T>& sample_weight, int64_t batch_size, bool shuffle,
             int64_t total_epochs) {
            const Dataset<T> data = dataset_of(self, x, targets, sample_weight);
            const int64_t place = self.trainer.progress.rows;
            if (place < 0 || place > data.rows) {
              throw py::value_error("progress must be within the rows of X, " +
                                    std::to_string(data.rows) + ", got " + std::to_string(place));
            }
            const InUse<T> use(self.model);
            self.trainer.bind(data, batch_size, shuffle, total_epochs);
            self.x = x;
            self.targets = targets;
            self.sample_weight = sample_weight;
          },
          "x"_a.noconvert(), "targets"_a, "sample_weight"_a.noconvert(), "batch_size"_a,
          "shuffle"_a, "total_epochs"_a)
      .def("unbind",
           [](Bound& self) {
             const InUse<T> use(self.model);
             self.trainer.unbind();
             self.x = Array<T>();
             self.targets = py::array();
             self.sample_weight.reset();
           })
      .def(
          "run",
          [](Bound& self, int64_t max_steps) {
            const RunResult result = run_interruptible(
                self, [&](Team& team) { return self.trainer.run(team, max_steps); });
            return py::make_tuple(status_name(result.status), result.steps);
          },
          "max_steps"_a)
      .def("finish_epoch", [](Bound& self) {
        const InUse<T> use(self.model);
        self.trainer.finish_epoch();
      });
}

std::array<bool, 3> kept_states(const OptimizerSpec& spec) {
  const OptimizerStates states = states_of(spec);
  return {states[0].is_kept, states[1].is_kept, states[2].is_kept};
}

std::array<double, 3> state_starts(const OptimizerSpec& spec) {
  const OptimizerStates states = states_of(spec);
  return {states[0].start, states[1].start, states[2].start};
}

template <class T>
void register_optimizer_step(py::module_& module) {
  module.def(
      "optimizer_step",
      [](const OptimizerSpec& spec, int64_t step, double learning_rate, const Array<T>& parameters,
         const Array<T>& gradient, const std::vector<py::object>& states, double clip_value,
         double grad_scale) {
        if (!has_step(spec)) {
          throw py::value_error("spec must be of an optimizer with a step, got " +
                                std::string(info(spec.optimizer).name));
        }
        const std::array<bool, 3> is_kept = kept_states(spec);
        const std::vector<py::ssize_t> shape = copied_shape(parameters);
        CallArrays arrays;
        Array<T> updated = arrays.written<T>(parameters, "parameters", shape);
        const VectorView<const T> g = arrays.elements(gradient, "gradient", shape);
        OptimizerSlice<T> slice{updated.mutable_data(), g.data, {}, g.size, true};
        if (states.size() != is_kept.size()) {
          throw py::value_error("states must hold 3 items, got " + std::to_string(states.size()));
        }
        static constexpr const char* kNames[] = {"states[0]", "states[1]", "states[2]"};
        for (size_t i = 0; i < is_kept.size(); ++i) {
          if (!is_kept[i] && states[i].is_none()) continue;
          Array<T> state = arrays.written<T>(states[i], kNames[i], shape);
          if (is_kept[i]) slice.states[i] = state.mutable_data();
        }
        const KernelTable<T>& kernels = kernels_of_call<T>();
        compute([&] {
          OptimizerStepper<T> stepper(spec);
          stepper.prepare(kernels, step, learning_rate, grad_scale, clip_value);
          stepper.apply(slice);
        });
      },
      "spec"_a, "step"_a, "learning_rate"_a, "parameters"_a.noconvert(), "gradient"_a.noconvert(),
      "states"_a, "clip_value"_a, "grad_scale"_a);
}

}  // namespace

void register_training(py::module_& module) {
  py::class_<OptimizerSpec>(module, "OptimizerSpec")
      .def(py::init([](const std::string& name, double weight_decay, std::vector<double> values) {
             const auto optimizer =
                 static_cast<Optimizer>(index_of(kOptimizers, name, "optimizer"));
             require_values(info(optimizer).hyperparameters, values, name);
             return OptimizerSpec{optimizer, weight_decay, std::move(values)};
           }),
           "name"_a, "weight_decay"_a, "values"_a);
  module.def("optimizer_states", kept_states, "spec"_a);
  module.def("optimizer_starts", state_starts, "spec"_a);
  py::class_<ScheduleSpec>(module, "ScheduleSpec")
      .def(py::init([](const std::string& name, double learning_rate, std::vector<double> values) {
             const int index = index_of(kSchedules, name, "schedule");
             require_values(kSchedules[static_cast<size_t>(index)].parameters, values, name);
             return ScheduleSpec{static_cast<Schedule>(index), learning_rate, std::move(values)};
           }),
           "name"_a, "learning_rate"_a, "values"_a);
  module.def("schedule_value", learning_rate, "spec"_a, "step"_a, "steps_per_epoch"_a,
             "total_steps"_a);
  register_trainer<float>(module, "Trainer32");
  register_trainer<double>(module, "Trainer64");
  register_optimizer_step<float>(module);
  register_optimizer_step<double>(module);
}

}  // namespace chainrule::bindings
