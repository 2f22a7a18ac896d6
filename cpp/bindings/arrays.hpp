// NumPy arrays as pointers, and C++ buffers as NumPy arrays: the only place where one becomes the
// other. Used by the register_*.cpp files. Python converts arrays; overload resolution refuses what
// is not C-contiguous or of another dtype, and CallArrays checks the rest.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/aligned_buffer.hpp"
#include "call_arrays.hpp"
#include "kernels/lists.hpp"
#include "ops/loss.hpp"
#include "ops/precision.hpp"

namespace chainrule::bindings {

template <class T>
const T* read(const Array<T>& array) {
  return array.data();
}
// Throws std::domain_error for a read-only array.
template <class T>
T* write(Array<T>& array) {
  return array.mutable_data();
}
template <class T>
T* write(OptionalArray<T>& array) {
  return array ? array->mutable_data() : nullptr;
}

// A view of memory that `owner` keeps alive.
template <class T>
py::array view(AlignedBuffer<T>& buffer, py::handle owner) {
  return py::array(py::dtype::of<T>(), {buffer.size()}, {}, buffer.data(), owner);
}

// Matrices of calls with few arrays, which cannot overlap.
template <class T>
MatrixView<const T> read_matrix(const Array<T>& array, const char* name, int64_t rows,
                                int64_t columns) {
  return CallArrays().matrix(array, name, rows, columns);
}
template <class T>
MatrixView<T> write_matrix(Array<T>& array, const char* name, int64_t rows, int64_t columns) {
  const MatrixView<const T> checked = read_matrix(array, name, rows, columns);
  return {array.mutable_data(), checked.rows, checked.columns};
}

// Targets as Python gives them, for outputs (rows, columns) and this loss: values or probabilities
// of T, or int32 labels; and the weights of their rows.
template <class T>
TargetView<T> target_view(CallArrays& arrays, const LossSpec& loss, const py::array& targets,
                          const char* name, const OptionalArray<T>& sample_weight, int64_t rows,
                          int64_t columns) {
  TargetView<T> view;
  view.columns = target_columns(loss, columns);
  view.sample_weights = arrays.vector(sample_weight, "sample_weight", rows);
  if (takes_labels(loss) && py::isinstance<Array<int32_t>>(targets)) {
    view.labels = arrays.vector(py::reinterpret_borrow<Array<int32_t>>(targets), name, rows);
    const auto is_wrong = [&](int32_t label) { return label < 0 || label >= columns; };
    if (std::any_of(view.labels, view.labels + rows, is_wrong)) {
      throw py::value_error(std::string(name) + " must hold labels in [0, " +
                            std::to_string(columns) + ")");
    }
  } else if (py::isinstance<Array<T>>(targets)) {
    view.targets =
        arrays.matrix(py::reinterpret_borrow<Array<T>>(targets), name, rows, view.columns).data;
  } else {
    throw py::type_error(std::string(name) + " must be " +
                         (takes_labels(loss) ? "int32 labels or " : "") +
                         "a C-contiguous array of the dtype of the outputs");
  }
  return view;
}

inline Reduction reduction_of(std::string_view name) {
  return name == "sum" ? Reduction::kSum : Reduction::kMean;
}

// The index of a name in a list of infos or names.
template <class List>
int index_of(const List& list, std::string_view name, const char* what) {
  for (size_t i = 0; i < list.size(); ++i) {
    if constexpr (requires { list[i].name; }) {
      if (list[i].name == name) return static_cast<int>(i);
    } else {
      if (list[i] == name) return static_cast<int>(i);
    }
  }
  throw py::value_error("unknown " + std::string(what) + " '" + std::string(name) + "'");
}

template <class T>
Precision precision_of(std::string_view name) {
  if (std::is_same_v<T, double> && name == kDoublePrecision) return Precision::kFull;
  const int index = index_of(kPrecisions, name, "precision");
  if (std::is_same_v<T, double>) throw py::value_error("float64 has no other precision");
  return static_cast<Precision>(index);
}
template <class T>
std::string_view name_of(Precision precision) {
  return std::is_same_v<T, double> ? kDoublePrecision : kPrecisions[static_cast<size_t>(precision)];
}

inline Activation activation_of(std::string_view name) {
  return static_cast<Activation>(index_of(kActivations, name, "activation"));
}

}  // namespace chainrule::bindings
