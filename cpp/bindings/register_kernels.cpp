// The kernels over plain arrays, once for float and once for double.
#include "arrays.hpp"
#include "interpreter.hpp"
#include "kernels/registry.hpp"
#include "layers/initializers.hpp"
#include "network/layer_spec.hpp"
#include "ops/dense.hpp"
#include "register.hpp"
#include "training/batches.hpp"

namespace chainrule::bindings {
namespace {

using namespace py::literals;

using Use = CallArrays::Use;

template <class T>
void register_elementwise(py::module_& module) {
  module.def(
      "all_finite",
      [](const Array<T>& x) {
        const auto [data, size] = CallArrays().elements(x, "x");
        const KernelTable<T>& kernels = kernels_of_call<T>();
        const KeepDenormals mode;  // which are finite; no traps
        return without_lock([&] { return kernels.all_finite(data, size); });
      },
      "x"_a.noconvert());
  module.def(
      "math_function",
      [](const std::string& name, const Array<T>& x, const py::object& out) {
        const int index = index_of(kMathFunctions, name, "function");
        CallArrays arrays;
        const auto shape = copied_shape(x);
        const auto [data, size] = arrays.elements(x, "x", shape);
        Array<T> result = arrays.output<T>(out, "out", shape, Use::kWrittenInPlace);
        T* y = result.mutable_data();
        const KernelTable<T>& kernels = kernels_of_call<T>();
        compute([&] { kernels.math_functions[index](data, y, size); });
        return result;
      },
      "name"_a, "x"_a.noconvert(), "out"_a);
  module.def(
      "activation_forward",
      [](const std::string& name, double parameter, const Array<T>& x, const py::object& out) {
        const int index = static_cast<int>(activation_of(name));
        CallArrays arrays;
        const auto shape = copied_shape(x);
        const auto [data, size] = arrays.elements(x, "x", shape);
        Array<T> result = arrays.output<T>(out, "out", shape, Use::kWrittenInPlace);
        T* y = result.mutable_data();
        const KernelTable<T>& kernels = kernels_of_call<T>();
        compute(
            [&] { kernels.activations[index].forward(data, y, size, static_cast<T>(parameter)); });
        return result;
      },
      "name"_a, "parameter"_a, "x"_a.noconvert(), "out"_a);
  module.def(
      "activation_backward",
      [](const std::string& name, double parameter, const Array<T>& grad_output,
         const Array<T>& saved, const py::object& out) {
        const int index = static_cast<int>(activation_of(name));
        CallArrays arrays;
        const auto shape = copied_shape(grad_output);
        const auto [grad_y, size] = arrays.elements(grad_output, "grad_output", shape);
        const T* kept = arrays.elements(saved, "saved", shape).data;
        Array<T> result = arrays.output<T>(out, "out", shape, Use::kWrittenInPlace);
        T* grad_x = result.mutable_data();
        const KernelTable<T>& kernels = kernels_of_call<T>();
        compute([&] {
          kernels.activations[index].backward(grad_y, kept, grad_x, size,
                                              static_cast<T>(parameter));
        });
        return result;
      },
      "name"_a, "parameter"_a, "grad_output"_a.noconvert(), "saved"_a.noconvert(), "out"_a);
}

template <class T>
py::object drawn_mask(uint64_t seed, uint32_t layer, uint64_t step, double probability, Shape shape,
                      const py::object& out) {
  Array<T> result = CallArrays().output<T>(out, "out", shape);
  T* mask = result.mutable_data();
  const int64_t size = result.size();
  constexpr int64_t kPiece = int64_t{1} << 16;
  SignalTeam own;
  compute_interruptible(own, threads_to_draw(static_cast<double>(size)), [&](Team& team) {
    team.run((size + kPiece - 1) / kPiece, size * kElementWork,
             [&](Context& context, int64_t piece) {
               const int64_t first = piece * kPiece, count = std::min(kPiece, size - first);
               context.kernels<T>().dropout_mask(seed, layer, step, probability, first,
                                                 mask + first, count);
               context.stop_requested(count * kElementWork);
             });
  });
  return result;
}

template <class T>
py::object drawn_weight(Initializer initializer, uint64_t seed, uint32_t layer, int64_t in_features,
                        int64_t out_features, const py::object& out) {
  Array<T> result = CallArrays().output<T>(out, "out", in_features, out_features);
  T* weight = result.mutable_data();
  SignalTeam own;
  compute_interruptible(own, threads_to_draw(static_cast<double>(result.size())), [&](Team& team) {
    initialize_layer<T>(team, initializer, seed, layer, in_features, out_features, weight, nullptr);
  });
  return result;
}

void register_random(py::module_& module) {
  module.def(
      "dropout_mask",
      [](uint64_t seed, uint32_t layer, uint64_t step, double probability,
         const std::vector<py::ssize_t>& shape, const std::string& dtype, const py::object& out) {
        return (dtype == "float64" ? drawn_mask<double>
                                   : drawn_mask<float>)(seed, layer, step, probability, shape, out);
      },
      "seed"_a, "layer"_a, "step"_a, "probability"_a, "shape"_a, "dtype"_a, "out"_a);
  module.def(
      "initialize",
      [](const std::string& name, uint64_t seed, uint32_t layer,
         const std::array<py::ssize_t, 2>& shape, const std::string& dtype, const py::object& out) {
        const auto initializer =
            static_cast<Initializer>(index_of(kInitializers, name, "initializer"));
        return (dtype == "float64" ? drawn_weight<double> : drawn_weight<float>)(initializer, seed,
                                                                                 layer, shape[0],
                                                                                 shape[1], out);
      },
      "name"_a, "seed"_a, "layer"_a, "shape"_a, "dtype"_a, "out"_a);
  module.def(
      "permutation",
      [](uint64_t seed, uint32_t epoch, int64_t size) {
        py::array_t<int64_t> order(size);
        int64_t* data = order.mutable_data();
        SignalTeam own;
        compute_interruptible(own, 1, [&](Team& team) { shuffle(team, seed, epoch, data, size); });
        return order;
      },
      "seed"_a, "epoch"_a, "size"_a);
}

template <class T>
DenseShape dense_shape(const MatrixView<const T>& x, const MatrixView<const T>& w,
                       const std::string& precision) {
  return {x.rows, x.columns, w.columns,
          layer_precision(precision_of<T>(precision), x.columns, w.columns)};
}

template <class T>
void register_dense(py::module_& module) {
  module.def(
      "dense_forward",
      [](const Array<T>& x_array, const Array<T>& w_array, const OptionalArray<T>& b_array,
         const std::string& activation, double parameter, const py::object& preactivation,
         const py::object& out, const std::string& precision, int threads) {
        CallArrays arrays;
        const auto x = arrays.matrix(x_array, "x");
        const auto w = arrays.matrix(w_array, "w", x.columns);
        const T* b = arrays.vector(b_array, "b", w.columns);
        const DenseShape shape = dense_shape(x, w, precision);
        const Activation a = activation_of(activation);
        Array<T> result = arrays.output<T>(out, "out", x.rows, w.columns);
        T *y = result.mutable_data(), *z = nullptr;
        if (!preactivation.is_none()) {
          z = arrays.output<T>(preactivation, "preactivation", x.rows, w.columns).mutable_data();
        }
        const Variant& variant = variant_of_call();
        compute([&] {
          Team team(threads, variant);
          dense_forward(team, shape, x.data, w.data, b, a, static_cast<T>(parameter), z, y);
        });
        return result;
      },
      "x"_a.noconvert(), "w"_a.noconvert(), "b"_a.noconvert(), "activation"_a, "parameter"_a,
      "preactivation"_a, "out"_a, "precision"_a, "threads"_a);
  module.def(
      "dense_backward",
      [](const Array<T>& grad_preactivation, const Array<T>& x_array, const Array<T>& w_array,
         bool need_grad_x, bool need_grad_w, const py::object& grad_x, const py::object& grad_w,
         const py::object& grad_b, const std::string& precision, int threads) {
        CallArrays arrays;
        const auto grad = arrays.matrix(grad_preactivation, "grad_preactivation");
        const auto x = arrays.matrix(x_array, "x", grad.rows);
        const auto w = arrays.matrix(w_array, "w", x.columns, grad.columns);
        const DenseShape shape = dense_shape(x, w, precision);
        const std::array<py::ssize_t, 1> b_shape = {w.columns};
        std::optional<Array<T>> of_x, of_w, of_b;
        if (need_grad_x) of_x = arrays.output<T>(grad_x, "grad_x", x.rows, x.columns);
        if (need_grad_w) {
          of_w = arrays.output<T>(grad_w, "grad_w", w.rows, w.columns);
          of_b = arrays.output<T>(grad_b, "grad_b", b_shape);
        }
        T *gx = write(of_x), *gw = write(of_w), *gb = write(of_b);
        const Variant& variant = variant_of_call();
        compute([&] {
          Team team(threads, variant);
          dense_backward(team, shape, grad.data, x.data, w.data, gx, gw, gb);
        });
        return py::make_tuple(of_x, of_w, of_b);
      },
      "grad_preactivation"_a.noconvert(), "x"_a.noconvert(), "w"_a.noconvert(), "need_grad_x"_a,
      "need_grad_w"_a, "grad_x"_a, "grad_w"_a, "grad_b"_a, "precision"_a, "threads"_a);
}

template <class T>
Array<T> new_vector(int64_t size) {
  return Array<T>(static_cast<py::ssize_t>(size));
}
template <class T>
Array<T> new_matrix(int64_t rows, int64_t columns) {
  return Array<T>({rows, columns});
}

// The inputs of a normalization; its outputs are null yet.
template <class T>
NormForward<T> norm_forward_of(CallArrays& arrays, const Array<T>& x_array, const Array<T>& scale,
                               const Array<T>& shift, double epsilon) {
  const auto x = arrays.matrix(x_array, "x");
  NormForward<T> norm{};
  norm.rows = x.rows;
  norm.columns = x.columns;
  norm.row_stride = x.columns;
  norm.x = x.data;
  norm.scale = arrays.vector(scale, "scale", x.columns);
  norm.shift = arrays.vector(shift, "shift", x.columns);
  norm.epsilon = static_cast<T>(epsilon);
  return norm;
}

template <class T>
void register_norms(py::module_& module) {
  for (const bool is_batch : {false, true}) {
    module.def(
        is_batch ? "batch_norm_forward" : "layer_norm_forward",
        [is_batch](const Array<T>& x, const Array<T>& scale, const Array<T>& shift, double epsilon,
                   const py::object& out) -> py::tuple {
          CallArrays arrays;
          NormForward<T> norm = norm_forward_of(arrays, x, scale, shift, epsilon);
          if (norm.columns == 0 || (is_batch && norm.rows == 0)) {
            throw py::value_error("x must have at least one " +
                                  std::string(norm.columns == 0 ? "column" : "row") +
                                  ", got shape " + text_of(shape_of(x)));
          }
          Array<T> result = arrays.output<T>(out, "out", norm.rows, norm.columns);
          Array<T> normalized = new_matrix<T>(norm.rows, norm.columns);
          Array<T> inverse_deviation = new_vector<T>(is_batch ? norm.columns : norm.rows);
          norm.normalized = normalized.mutable_data();
          norm.inverse_deviation = inverse_deviation.mutable_data();
          norm.y = result.mutable_data();
          const KernelTable<T>& kernels = kernels_of_call<T>();
          if (!is_batch) {
            compute([&] { kernels.layer_norm_forward(norm); });
            return py::make_tuple(result, normalized, inverse_deviation);
          }
          Array<T> mean = new_vector<T>(norm.columns), variance = new_vector<T>(norm.columns);
          norm.mean = mean.mutable_data();
          norm.variance = variance.mutable_data();
          compute([&] {
            kernels.batch_norm_statistics(norm);
            kernels.batch_norm_predict(norm);
          });
          return py::make_tuple(result, normalized, inverse_deviation, mean, variance);
        },
        "x"_a.noconvert(), "scale"_a.noconvert(), "shift"_a.noconvert(), "epsilon"_a, "out"_a);
    module.def(
        is_batch ? "batch_norm_backward" : "layer_norm_backward",
        [is_batch](const Array<T>& grad_output, const Array<T>& normalized,
                   const Array<T>& inverse_deviation, const Array<T>& scale) {
          CallArrays arrays;
          const auto grad = arrays.matrix(grad_output, "grad_output");
          const T* z = arrays.matrix(normalized, "normalized", grad.rows, grad.columns).data;
          const T* inverse = arrays.vector(inverse_deviation, "inverse_deviation",
                                           is_batch ? grad.columns : grad.rows);
          const T* factors = arrays.vector(scale, "scale", grad.columns);
          if (grad.size() == 0) {
            throw py::value_error("grad_output must not be empty, got shape " +
                                  text_of(shape_of(grad_output)));
          }
          Array<T> grad_x = new_matrix<T>(grad.rows, grad.columns);
          Array<T> grad_scale = new_vector<T>(grad.columns);
          Array<T> grad_shift = new_vector<T>(grad.columns);
          const NormBackward<T> norm{grad.rows,
                                     grad.columns,
                                     grad.columns,
                                     grad.data,
                                     z,
                                     inverse,
                                     factors,
                                     grad_x.mutable_data(),
                                     grad_scale.mutable_data(),
                                     grad_shift.mutable_data(),
                                     false,
                                     false};
          const KernelTable<T>& kernels = kernels_of_call<T>();
          compute([&] {
            if (is_batch) return kernels.batch_norm_backward(norm);
            kernels.norm_parameter_gradients(norm);
            kernels.layer_norm_backward(norm);
          });
          return py::make_tuple(grad_x, grad_scale, grad_shift);
        },
        "grad_output"_a.noconvert(), "normalized"_a.noconvert(), "inverse_deviation"_a.noconvert(),
        "scale"_a.noconvert());
  }
  module.def(
      "batch_norm_predict",
      [](const Array<T>& x, const Array<T>& scale, const Array<T>& shift,
         const Array<T>& running_mean, const Array<T>& running_variance, double epsilon,
         const py::object& out) {
        CallArrays arrays;
        NormForward<T> norm = norm_forward_of(arrays, x, scale, shift, epsilon);
        // The kernel reads mean and variance only.
        norm.mean = const_cast<T*>(arrays.vector(running_mean, "running_mean", norm.columns));
        norm.variance =
            const_cast<T*>(arrays.vector(running_variance, "running_variance", norm.columns));
        Array<T> result = arrays.output<T>(out, "out", norm.rows, norm.columns);
        norm.y = result.mutable_data();
        const KernelTable<T>& kernels = kernels_of_call<T>();
        compute([&] { kernels.batch_norm_predict(norm); });
        return result;
      },
      "x"_a.noconvert(), "scale"_a.noconvert(), "shift"_a.noconvert(), "running_mean"_a.noconvert(),
      "running_variance"_a.noconvert(), "epsilon"_a, "out"_a);
}

template <class T>
double loss_of(const LossSpec& spec, const MatrixView<const T>& outputs,
               const TargetView<T>& targets, const std::string& reduction, T* gradient) {
  const Variant& variant = variant_of_call();
  return compute([&] {
    Team team(1, variant);
    const LossFunction<T> function(spec);
    return function(team, outputs.data, outputs.rows, outputs.columns, targets,
                    reduction_of(reduction), gradient)
        .value;
  });
}

template <class T>
void register_loss(py::module_& module) {
  module.def(
      "loss",
      [](const LossSpec& spec, const Array<T>& outputs, const py::array& targets,
         const OptionalArray<T>& sample_weight, const std::string& reduction) {
        CallArrays arrays;
        const auto rows = arrays.matrix(outputs, "outputs");
        const TargetView<T> view =
            target_view(arrays, spec, targets, "targets", sample_weight, rows.rows, rows.columns);
        return loss_of<T>(spec, rows, view, reduction, nullptr);
      },
      "spec"_a, "outputs"_a.noconvert(), "targets"_a, "sample_weight"_a.noconvert(), "reduction"_a);
  module.def(
      "loss_and_gradient",
      [](const LossSpec& spec, const Array<T>& outputs, const py::array& targets,
         const OptionalArray<T>& sample_weight, const std::string& reduction,
         const py::object& out) {
        CallArrays arrays;
        const auto rows = arrays.matrix(outputs, "outputs");
        const TargetView<T> view =
            target_view(arrays, spec, targets, "targets", sample_weight, rows.rows, rows.columns);
        Array<T> gradient = arrays.output<T>(out, "out", rows.rows, rows.columns);
        const double value = loss_of<T>(spec, rows, view, reduction, gradient.mutable_data());
        return py::make_tuple(value, gradient);
      },
      "spec"_a, "outputs"_a.noconvert(), "targets"_a, "sample_weight"_a.noconvert(), "reduction"_a,
      "out"_a);
}

}  // namespace

void register_kernels(py::module_& module) {
  py::class_<LossSpec>(module, "LossSpec")
      .def(py::init([](const std::string& name, double parameter, std::vector<double> values) {
             return LossSpec{static_cast<Loss>(index_of(kLosses, name, "loss")), parameter,
                             std::move(values)};
           }),
           "name"_a, "parameter"_a = 0.0, "values"_a = std::vector<double>{});
  register_random(module);
  register_elementwise<float>(module);
  register_elementwise<double>(module);
  register_dense<float>(module);
  register_dense<double>(module);
  register_norms<float>(module);
  register_norms<double>(module);
  register_loss<float>(module);
  register_loss<double>(module);
}

}  // namespace chainrule::bindings
