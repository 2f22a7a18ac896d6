// The kernels over plain arrays, once for float and once for double.
#include "arrays.hpp"
#include "interpreter.hpp"
#include "kernels/registry.hpp"
#include "network/initializers.hpp"
#include "network/layer_spec.hpp"
#include "ops/dense.hpp"
#include "register.hpp"
#include "training/batches.hpp"

namespace chainrule::bindings {
namespace {

using namespace py::literals;

template <class T>
NormForward<T> norm_forward_of(const Array<T>& x, const Array<T>& scale, const Array<T>& shift,
                               double epsilon, T* mean, T* variance, T* normalized, T* inverse,
                               T* out) {
  return {x.shape(0), x.shape(1), read(x),    read(scale), read(shift), static_cast<T>(epsilon),
          mean,       variance,   normalized, inverse,     out};
}

template <class T>
NormBackward<T> norm_backward_of(const Array<T>& grad_output, const Array<T>& normalized,
                                 const Array<T>& inverse_deviation, const Array<T>& scale,
                                 Array<T>& grad_x, Array<T>& grad_scale, Array<T>& grad_shift) {
  return {grad_output.shape(0),
          grad_output.shape(1),
          read(grad_output),
          read(normalized),
          read(inverse_deviation),
          read(scale),
          write(grad_x),
          write(grad_scale),
          write(grad_shift),
          false,
          false};
}

template <class T>
void register_elementwise(py::module_& module) {
  module.def(
      "all_finite",
      [](const Array<T>& x) {
        const KeepDenormals mode;  // which are finite; no traps
        return without_lock([&] { return active_kernels<T>().all_finite(read(x), x.size()); });
      },
      "x"_a.noconvert());
  module.def(
      "math_function",
      [](const std::string& name, const Array<T>& x, Array<T> out) {
        const int index = index_of(kMathFunctions, name, "function");
        T* y = write(out);
        compute([&] { active_kernels<T>().math_functions[index](read(x), y, x.size()); });
      },
      "name"_a, "x"_a.noconvert(), "out"_a.noconvert());
  module.def(
      "activation_forward",
      [](const std::string& name, double parameter, const Array<T>& x, Array<T> out) {
        const int index = static_cast<int>(activation_of(name));
        T* y = write(out);
        compute([&] {
          active_kernels<T>().activations[index].forward(read(x), y, x.size(),
                                                         static_cast<T>(parameter));
        });
      },
      "name"_a, "parameter"_a, "x"_a.noconvert(), "out"_a.noconvert());
  module.def(
      "activation_backward",
      [](const std::string& name, double parameter, const Array<T>& grad_output,
         const Array<T>& saved, Array<T> out) {
        const int index = static_cast<int>(activation_of(name));
        T* grad_x = write(out);
        compute([&] {
          active_kernels<T>().activations[index].backward(read(grad_output), read(saved), grad_x,
                                                          saved.size(), static_cast<T>(parameter));
        });
      },
      "name"_a, "parameter"_a, "grad_output"_a.noconvert(), "saved"_a.noconvert(),
      "out"_a.noconvert());
  module.def(
      "dropout_mask",
      [](uint64_t seed, uint32_t layer, uint64_t step, double probability, Array<T> out) {
        T* mask = write(out);
        compute([&] {
          active_kernels<T>().dropout_mask(seed, layer, step, probability, 0, mask, out.size());
        });
      },
      "seed"_a, "layer"_a, "step"_a, "probability"_a, "out"_a.noconvert());
  module.def(
      "initialize",
      [](const std::string& name, uint64_t seed, uint32_t layer, Array<T> out) {
        const auto initializer =
            static_cast<Initializer>(index_of(kInitializers, name, "initializer"));
        T* weight = write(out);
        compute([&] {
          initialize_layer<T>(initializer, seed, layer, out.shape(0), out.shape(1), weight,
                              nullptr);
        });
      },
      "name"_a, "seed"_a, "layer"_a, "out"_a.noconvert());
}

template <class T>
DenseShape dense_shape(const Array<T>& x, const Array<T>& weight, const std::string& precision) {
  const int64_t in_features = x.shape(1), out_features = weight.shape(1);
  return {x.shape(0), in_features, out_features,
          layer_precision(precision_of<T>(precision), in_features, out_features)};
}

template <class T>
void register_dense(py::module_& module) {
  module.def(
      "dense_forward",
      [](const Array<T>& x, const Array<T>& weight, const OptionalArray<T>& bias,
         const std::string& activation, double parameter, OptionalArray<T> preactivation,
         Array<T> out, const std::string& precision, int threads) {
        const Activation a = activation_of(activation);
        const DenseShape shape = dense_shape(x, weight, precision);
        T *z = write(preactivation), *y = write(out);
        compute([&] {
          Team team(threads);
          dense_forward(team, shape, read(x), read(weight), read(bias), a,
                        static_cast<T>(parameter), z, y);
        });
      },
      "x"_a.noconvert(), "weight"_a.noconvert(), "bias"_a.noconvert(), "activation"_a,
      "parameter"_a, "preactivation"_a.noconvert(), "out"_a.noconvert(), "precision"_a,
      "threads"_a);
  module.def(
      "dense_backward",
      [](const Array<T>& grad_preactivation, const Array<T>& x, const Array<T>& weight,
         OptionalArray<T> grad_x, OptionalArray<T> grad_weight, OptionalArray<T> grad_bias,
         const std::string& precision, int threads) {
        const DenseShape shape = dense_shape(x, weight, precision);
        T *gx = write(grad_x), *gw = write(grad_weight), *gb = write(grad_bias);
        compute([&] {
          Team team(threads);
          dense_backward(team, shape, read(grad_preactivation), read(x), read(weight), gx, gw, gb);
        });
      },
      "grad_preactivation"_a.noconvert(), "x"_a.noconvert(), "weight"_a.noconvert(),
      "grad_x"_a.noconvert(), "grad_weight"_a.noconvert(), "grad_bias"_a.noconvert(), "precision"_a,
      "threads"_a);
}

template <class T>
void register_norms(py::module_& module) {
  module.def(
      "layer_norm_forward",
      [](const Array<T>& x, const Array<T>& scale, const Array<T>& shift, double epsilon,
         Array<T> normalized, Array<T> inverse_deviation, Array<T> out) {
        const NormForward<T> norm =
            norm_forward_of<T>(x, scale, shift, epsilon, nullptr, nullptr, write(normalized),
                               write(inverse_deviation), write(out));
        compute([&] { active_kernels<T>().layer_norm_forward(norm); });
      },
      "x"_a.noconvert(), "scale"_a.noconvert(), "shift"_a.noconvert(), "epsilon"_a,
      "normalized"_a.noconvert(), "inverse_deviation"_a.noconvert(), "out"_a.noconvert());
  module.def(
      "batch_norm_forward",
      [](const Array<T>& x, const Array<T>& scale, const Array<T>& shift, double epsilon,
         Array<T> mean, Array<T> variance, Array<T> normalized, Array<T> inverse_deviation,
         Array<T> out) {
        const NormForward<T> norm =
            norm_forward_of<T>(x, scale, shift, epsilon, write(mean), write(variance),
                               write(normalized), write(inverse_deviation), write(out));
        compute([&] {
          active_kernels<T>().batch_norm_statistics(norm);
          active_kernels<T>().batch_norm_predict(norm);
        });
      },
      "x"_a.noconvert(), "scale"_a.noconvert(), "shift"_a.noconvert(), "epsilon"_a,
      "mean"_a.noconvert(), "variance"_a.noconvert(), "normalized"_a.noconvert(),
      "inverse_deviation"_a.noconvert(), "out"_a.noconvert());
  module.def(
      "batch_norm_predict",
      [](const Array<T>& x, const Array<T>& scale, const Array<T>& shift, double epsilon,
         const Array<T>& running_mean, const Array<T>& running_variance, Array<T> out) {
        // The kernel reads mean and variance only.
        const NormForward<T> norm = norm_forward_of<T>(
            x, scale, shift, epsilon, const_cast<T*>(read(running_mean)),
            const_cast<T*>(read(running_variance)), nullptr, nullptr, write(out));
        compute([&] { active_kernels<T>().batch_norm_predict(norm); });
      },
      "x"_a.noconvert(), "scale"_a.noconvert(), "shift"_a.noconvert(), "epsilon"_a,
      "running_mean"_a.noconvert(), "running_variance"_a.noconvert(), "out"_a.noconvert());
  for (const bool is_batch : {false, true}) {
    module.def(
        is_batch ? "batch_norm_backward" : "layer_norm_backward",
        [is_batch](const Array<T>& grad_output, const Array<T>& normalized,
                   const Array<T>& inverse_deviation, const Array<T>& scale, Array<T> grad_x,
                   Array<T> grad_scale, Array<T> grad_shift) {
          const NormBackward<T> norm = norm_backward_of<T>(
              grad_output, normalized, inverse_deviation, scale, grad_x, grad_scale, grad_shift);
          const KernelTable<T>& kernels = active_kernels<T>();
          compute([&] {
            if (is_batch) return kernels.batch_norm_backward(norm);
            kernels.norm_parameter_gradients(norm);
            kernels.layer_norm_backward(norm);
          });
        },
        "grad_output"_a.noconvert(), "normalized"_a.noconvert(), "inverse_deviation"_a.noconvert(),
        "scale"_a.noconvert(), "grad_x"_a.noconvert(), "grad_scale"_a.noconvert(),
        "grad_shift"_a.noconvert());
  }
}

template <class T>
void register_loss(py::module_& module) {
  module.def(
      "loss",
      [](const LossSpec& spec, const Array<T>& outputs, const py::array& targets,
         const OptionalArray<T>& sample_weight, const std::string& reduction,
         OptionalArray<T> grad) {
        const MatrixView<const T> rows =
            read_matrix(outputs, "outputs", kAnyRows, outputs.ndim() == 2 ? outputs.shape(1) : 0);
        const TargetView<T> view = target_view<T>(targets, sample_weight, rows.rows);
        T* gradient = grad ? write_matrix(*grad, "grad", rows.rows, rows.columns).data : nullptr;
        return compute([&] {
          Team team;
          const LossFunction<T> function(spec);
          return function(team, rows.data, rows.rows, rows.columns, view, reduction_of(reduction),
                          gradient)
              .value;
        });
      },
      "spec"_a, "outputs"_a.noconvert(), "targets"_a, "sample_weight"_a.noconvert(), "reduction"_a,
      "grad"_a.noconvert());
}

}  // namespace

void register_kernels(py::module_& module) {
  py::class_<LossSpec>(module, "LossSpec")
      .def(py::init([](const std::string& name, double parameter, std::vector<double> values) {
             return LossSpec{static_cast<Loss>(index_of(kLosses, name, "loss")), parameter,
                             std::move(values)};
           }),
           "name"_a, "parameter"_a = 0.0, "values"_a = std::vector<double>{});
  module.def(
      "permutation",
      [](uint64_t seed, uint32_t epoch, int64_t size) {
        std::vector<int64_t> order(static_cast<size_t>(size));
        shuffle(seed, epoch, order);
        return py::array_t<int64_t>(size, order.data());
      },
      "seed"_a, "epoch"_a, "size"_a);
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
