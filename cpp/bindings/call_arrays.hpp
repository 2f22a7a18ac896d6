// The arrays of one call, checked against each other and read once. Used by the register_*.cpp
// files, through arrays.hpp.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace chainrule::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
template <class T>
using OptionalArray = std::optional<Array<T>>;

using Shape = std::span<const py::ssize_t>;

// Valid until Python code runs, which another allocation may bring about.
inline Shape shape_of(const py::array& array) {
  return {array.shape(), static_cast<size_t>(array.ndim())};
}
inline std::vector<py::ssize_t> copied_shape(const py::array& array) {
  const Shape shape = shape_of(array);
  return {shape.begin(), shape.end()};
}
std::string text_of(Shape shape);  // as Python writes it: (2, 3), (4,) or ()

template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0, columns = 0;

  int64_t size() const { return rows * columns; }
};
template <class T>
struct VectorView {
  T* data = nullptr;
  int64_t size = 0;
};

inline constexpr int64_t kAnyRows = -1, kAnyColumns = -1;

// Pointer and sizes of each array of a call are read here, once, while Python's lock is held. What
// runs without the lock uses nothing else: another thread may give the same ndarray another shape,
// other strides or another dtype at any moment, which neither moves nor frees its memory.
//
// Nothing that is written overlaps another array of the call. Each function raises ValueError or
// TypeError with the argument's name.
class CallArrays {
 public:
  template <class T>
  MatrixView<const T> matrix(const Array<T>& array, const char* name, int64_t rows = kAnyRows,
                             int64_t columns = kAnyColumns) {
    const auto shape = require_matrix(array, name, rows, columns);
    add(array, name, Use::kRead);
    return {array.data(), shape[0], shape[1]};
  }

  template <class T>
  const T* vector(const Array<T>& array, const char* name, int64_t size) {
    const std::array<py::ssize_t, 1> shape = {size};
    return elements(array, name, shape).data;
  }
  // Null for None.
  template <class T>
  const T* vector(const OptionalArray<T>& array, const char* name, int64_t size) {
    return array ? vector(*array, name, size) : nullptr;
  }

  // All elements of an array of any shape, or of that shape.
  template <class T>
  VectorView<const T> elements(const Array<T>& array, const char* name) {
    add(array, name, Use::kRead);
    return {array.data(), array.size()};
  }
  template <class T>
  VectorView<const T> elements(const Array<T>& array, const char* name, Shape shape) {
    require_shape(array, name, shape);
    return elements(array, name);
  }

  enum class Use { kRead, kWritten, kWrittenInPlace };

  // An array that the call writes to. In place: it may be one of the inputs.
  template <class T>
  Array<T> written(const py::object& given, const char* name, Shape shape,
                   Use use = Use::kWritten) {
    require_writable(given, name, shape, std::is_same_v<T, double>);
    auto array = py::reinterpret_borrow<Array<T>>(given);
    add(array, name, use);
    return array;
  }
  // The same, or a new array for None.
  template <class T>
  Array<T> output(const py::object& given, const char* name, Shape shape, Use use = Use::kWritten) {
    if (given.is_none()) return Array<T>(std::vector<py::ssize_t>(shape.begin(), shape.end()));
    return written<T>(given, name, shape, use);
  }
  template <class T>
  Array<T> output(const py::object& given, const char* name, int64_t rows, int64_t columns) {
    const std::array<py::ssize_t, 2> shape = {rows, columns};
    return output<T>(given, name, shape);
  }

 private:
  struct Memory {
    uintptr_t begin, end;
    bool is_written;
  };
  static std::array<py::ssize_t, 2> require_matrix(const py::array& array, const char* name,
                                                   int64_t rows, int64_t columns);
  static void require_shape(const py::array& array, const char* name, Shape shape);
  static void require_writable(const py::object& given, const char* name, Shape shape,
                               bool is_double);
  void add(const py::array& array, const char* name, Use use);

  std::array<Memory, 16> memories_;
  size_t count_ = 0;
};

}  // namespace chainrule::bindings
