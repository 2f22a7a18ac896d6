// The network, once for float (Network32) and once for double (Network64).
#include <stdexcept>

#include "arrays.hpp"
#include "binding_types.hpp"
#include "interpreter.hpp"
#include "register.hpp"

namespace chainrule::bindings {
namespace {

using namespace py::literals;

const char* role_name(Role role) {
  switch (role) {
    case Role::kWeight:
      return "weight";
    case Role::kBias:
      return "bias";
    case Role::kScale:
      return "scale";
    case Role::kShift:
      break;
  }
  return "shift";
}

py::list parameter_blocks(const std::vector<ParameterBlock>& blocks) {
  py::list result;
  for (const ParameterBlock& block : blocks) {
    py::dict row;
    row["layer"] = block.layer;
    row["role"] = role_name(block.role);
    row["offset"] = block.offset;
    row["shape"] = block.role == Role::kWeight
                       ? py::object(py::make_tuple(block.rows, block.columns))
                       : py::object(py::make_tuple(block.columns));
    result.append(row);
  }
  return result;
}

// Whether an object is what validation would make of it, finite or not: an ndarray itself, aligned,
// C-contiguous, (rows, columns) of T in the machine's byte order.
template <class T>
bool is_matrix(py::handle x, py::ssize_t columns) {
  const auto& numpy = py::detail::npy_api::get();
  if (Py_TYPE(x.ptr()) != numpy.PyArray_Type_ || !Array<T>::check_(x)) return false;
  const auto array = py::reinterpret_borrow<py::array>(x);
  return array.ndim() == 2 && array.shape(1) == columns &&
         (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

// Where to write a matrix, or null where none is asked for.
template <class T>
T* write_rows(OptionalArray<T>& array, const char* name, int64_t rows, int64_t columns) {
  return array ? write_matrix(*array, name, rows, columns).data : nullptr;
}

// The outputs, or None for features that are not finite, if it is to `check`.
template <class T>
py::object predict(const BoundNetwork<T>& model, const Array<T>& x, int threads,
                   Precision precision, bool check) {
  const MatrixView<const T> rows = read_matrix(x, "X", kAnyRows, model.network.in_features());
  Array<T> out({rows.rows, model.network.out_features()});
  T* y = write(out);
  SignalTeam own;
  const bool is_accepted = compute_interruptible(own, threads, [&](Team& team) {
    if (check && !team.kernels<T>().all_finite(rows.data, rows.size())) return false;
    model.network.predict(team, rows.data, rows.rows, y, precision);
    return true;
  });
  return is_accepted ? py::object(std::move(out)) : py::none();
}

template <class T>
void register_bound(py::module_& module, const char* name) {
  using Model = BoundNetwork<T>;
  py::class_<Model>(module, name)
      .def(py::init([](int64_t in_features, const std::vector<LayerSpec>& layers, uint64_t seed) {
             SignalTeam own;
             double numbers = 0;
             int64_t inputs = in_features;
             for (const LayerSpec& layer : layers) {
               numbers += static_cast<double>(inputs) * static_cast<double>(layer.out_features);
               inputs = layer.out_features;
             }
             return std::make_unique<Model>(compute_interruptible(
                 own, threads_to_draw(numbers),
                 [&](Team& team) { return Network<T>(in_features, layers, seed, team); }));
           }),
           "in_features"_a, "layers"_a, "seed"_a)
      .def_property_readonly(
          "parameters",
          [](py::object self) { return view(self.cast<Model&>().network.parameters(), self); })
      .def_property_readonly(
          "gradient",
          [](py::object self) { return view(self.cast<Model&>().gradient_buffer(), self); })
      .def_property_readonly(
          "running_statistics",
          [](py::object self) { return view(self.cast<Model&>().network.statistics(), self); })
      .def("parameter_blocks",
           [](const Model& self) { return parameter_blocks(self.network.blocks()); })
      .def(
          "initialize",
          [](Model& self, uint64_t seed) {
            const InUse<T> use(self);
            const auto size = static_cast<double>(self.network.parameters().size());
            compute_interruptible(self.team, threads_to_draw(size),
                                  [&](Team& team) { self.network.initialize(team, seed); });
          },
          "seed"_a)
      .def_property_readonly("is_ready", [](const Model& self) { return self.network.is_ready(); })
      .def(
          "standardize",
          [](Model& self, const Array<T>& x) {
            const MatrixView<const T> rows =
                read_matrix(x, "X", kAnyRows, self.network.in_features());
            const InUse<T> use(self);
            compute_interruptible(self.team, 1, [&](Team& team) {
              self.network.standardize(team, rows.data, rows.rows);
            });
          },
          "x"_a.noconvert())
      .def_property(
          "precision", [](const Model& self) { return name_of<T>(self.precision); },
          [](Model& self, const std::string& value) { self.precision = precision_of<T>(value); })
      .def(
          "predict",
          [](const Model& self, const Array<T>& x, int threads,
             const std::optional<std::string>& precision) {
            return predict(self, x, threads,
                           precision ? precision_of<T>(*precision) : self.precision, false);
          },
          "x"_a.noconvert(), "threads"_a, "precision"_a = py::none())
      // In the model's precision. A call for one row costs less than what checks in Python alone
      // would.
      .def(
          "predict_if_valid",
          [](const Model& self, const py::object& x, int threads) {
            return self.network.is_ready() && is_matrix<T>(x, self.network.in_features())
                       ? predict(self, py::reinterpret_borrow<Array<T>>(x), threads, self.precision,
                                 true)
                       : py::none();
          },
          "x"_a, "threads"_a)
      .def(
          "forward",
          [](Model& self, const Array<T>& x, bool training, uint64_t step, Array<T> out,
             int threads) {
            const MatrixView<const T> rows =
                read_matrix(x, "X", kAnyRows, self.network.in_features());
            const MatrixView<T> y =
                write_matrix(out, "out", rows.rows, self.network.out_features());
            const InUse<T> use(self);
            self.input = x;
            self.input_rows = 0;
            self.workspace.precision = self.precision;
            compute_interruptible(self.team, threads, [&](Team& team) {
              const T* outputs =
                  self.network.forward(team, self.workspace, rows.data, rows.rows, training, step);
              if (team.is_stopped()) return;
              if (training && !self.network.statistics_are_finite(self.workspace)) {
                throw std::domain_error("X must give finite batch statistics, got an overflow");
              }
              std::copy_n(outputs, y.size(), y.data);
              self.network.commit_statistics(self.workspace, 1);
            });
            self.input_rows = rows.rows;
          },
          "x"_a.noconvert(), "training"_a, "step"_a, "out"_a.noconvert(), "threads"_a)
      .def("forget_forward",
           [](Model& self) {
             const InUse<T> use(self);
             self.input_rows = 0;
             self.input = Array<T>(std::vector<py::ssize_t>{0, 0});
           })
      .def(
          "backward",
          [](Model& self, const Array<T>& grad_output, OptionalArray<T> grad_x, int64_t shards,
             int threads) {
            const int64_t rows = self.input_rows;
            const MatrixView<const T> of_outputs =
                read_matrix(grad_output, "grad_outputs", rows, self.network.out_features());
            T* gx = write_rows(grad_x, "grad_x", rows, self.network.in_features());
            const InUse<T> use(self);
            self.workspace.shards = shards;
            Gradient<T> gradient = self.new_gradient();
            compute_interruptible(self.team, threads, [&](Team& team) {
              std::copy_n(of_outputs.data, of_outputs.size(), self.workspace.output_gradient());
              self.network.backward(team, self.workspace, read(self.input), gx, gradient);
            });
          },
          "grad_output"_a.noconvert(), "grad_x"_a.noconvert(), "shards"_a, "threads"_a)
      .def(
          "loss_and_gradient",
          [](Model& self, const Array<T>& x, const py::array& targets, const LossSpec& loss,
             const OptionalArray<T>& sample_weight, const std::string& reduction, double l1,
             double l2, bool penalize_biases, bool training, uint64_t step, OptionalArray<T> grad_x,
             int64_t shards, int threads) {
            CallArrays arrays;
            const MatrixView<const T> rows =
                arrays.matrix(x, "X", kAnyRows, self.network.in_features());
            const TargetView<T> view = target_view(arrays, loss, targets, "y", sample_weight,
                                                   rows.rows, self.network.out_features());
            T* gx = write_rows(grad_x, "grad_x", rows.rows, rows.columns);
            const InUse<T> use(self);
            Gradient<T> gradient = self.new_gradient();
            SignalTeam own;
            Workspace<T> workspace;
            workspace.precision = self.precision;
            workspace.shards = shards;
            return compute_interruptible(own, threads, [&](Team& team) {
              const LossFunction<T> function(loss);
              return self.network.loss_and_gradient(
                  team, workspace, rows.data, rows.rows, view, function, reduction_of(reduction),
                  {l1, l2, penalize_biases}, training, step, gx, gradient);
            });
          },
          "x"_a.noconvert(), "targets"_a, "loss"_a, "sample_weight"_a.noconvert(), "reduction"_a,
          "l1"_a, "l2"_a, "penalize_biases"_a, "training"_a, "step"_a, "grad_x"_a.noconvert(),
          "shards"_a, "threads"_a);
}

}  // namespace

void register_network(py::module_& module) {
  py::class_<LayerSpec>(module, "LayerSpec")
      .def(py::init([](int64_t out_features, const std::string& activation, double parameter,
                       double dropout, const std::string& norm, bool bias,
                       const std::string& initializer, bool standardizes) {
             return LayerSpec{
                 out_features,
                 activation_of(activation),
                 parameter,
                 dropout,
                 norm == "layer" ? Norm::kLayer : (norm == "batch" ? Norm::kBatch : Norm::kNone),
                 bias,
                 static_cast<Initializer>(index_of(kInitializers, initializer, "initializer")),
                 standardizes};
           }),
           "out_features"_a, "activation"_a, "parameter"_a, "dropout"_a, "norm"_a, "bias"_a,
           "initializer"_a, "standardizes"_a);
  register_bound<float>(module, "Network32");
  register_bound<double>(module, "Network64");
}

}  // namespace chainrule::bindings
