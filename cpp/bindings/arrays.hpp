// NumPy arrays as pointers, and C++ buffers as NumPy arrays: the only place where one becomes the
// other. Used by the register_*.cpp files. Arrays are checked in Python; what is not C-contiguous
// or of another dtype is refused here by overload resolution.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/aligned_buffer.hpp"
#include "kernels/lists.hpp"
#include "ops/loss.hpp"
#include "ops/precision.hpp"

namespace chainrule::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
template <class T>
using OptionalArray = std::optional<Array<T>>;

template <class T>
const T* read(const Array<T>& array) {
  return array.data();
}
template <class T>
const T* read(const OptionalArray<T>& array) {
  return array ? array->data() : nullptr;
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

// A matrix of any number of rows.
inline constexpr int64_t kAnyRows = -1;

// Sizes are read once, with the lock held: whoever has the array may set its shape in place, after
// Python checked it and while C++ works without the lock.
template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0, columns = 0;

  int64_t size() const { return rows * columns; }
};

inline void require_shape(const py::array& array, const char* name, int64_t rows, int64_t columns) {
  if (array.ndim() == 2 && (rows == kAnyRows || array.shape(0) == rows) &&
      array.shape(1) == columns) {
    return;
  }
  throw py::value_error(std::string(name) + " must have the shape (" +
                        (rows == kAnyRows ? "n_samples" : std::to_string(rows)) + ", " +
                        std::to_string(columns) + "), got " +
                        py::str(array.attr("shape")).cast<std::string>());
}
template <class T>
MatrixView<const T> read_matrix(const Array<T>& array, const char* name, int64_t rows,
                                int64_t columns) {
  require_shape(array, name, rows, columns);
  return {array.data(), array.shape(0), columns};
}
template <class T>
MatrixView<T> write_matrix(Array<T>& array, const char* name, int64_t rows, int64_t columns) {
  require_shape(array, name, rows, columns);
  return {array.mutable_data(), array.shape(0), columns};
}

// Targets as Python gives them: values or probabilities of T, or int32 labels; and the weights of
// their rows.
template <class T>
TargetView<T> target_view(const py::array& targets, const OptionalArray<T>& sample_weight,
                          int64_t rows) {
  if (targets.ndim() == 0 || targets.shape(0) != rows ||
      (sample_weight && sample_weight->size() != rows)) {
    throw py::value_error("targets and sample_weight must have " + std::to_string(rows) +
                          " rows, one for each row of X");
  }
  TargetView<T> view;
  view.sample_weights = read(sample_weight);
  if (py::isinstance<py::array_t<int32_t>>(targets)) {
    view.labels = static_cast<const int32_t*>(targets.data());
  } else if (py::isinstance<py::array_t<T>>(targets)) {
    view.targets = static_cast<const T*>(targets.data());
    view.columns = targets.ndim() > 1 ? targets.shape(1) : 1;
  } else {
    throw py::type_error("targets must be int32 labels or have the dtype of the outputs");
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
