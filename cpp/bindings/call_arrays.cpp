#include "call_arrays.hpp"

#include <algorithm>
#include <stdexcept>

namespace chainrule::bindings {
namespace {

constexpr int kContiguous = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_;
constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
constexpr int kWritable = py::detail::npy_api::NPY_ARRAY_WRITEABLE_;

bool has(const py::array& array, int flags) { return (array.flags() & flags) == flags; }

std::string type_name(const py::object& object) {
  return py::str(py::type::handle_of(object).attr("__name__"));
}

std::string float_name(bool is_double) { return is_double ? "float64" : "float32"; }

// `rest` follows "must".
[[noreturn]] void wrong_value(const char* name, const std::string& rest) {
  throw py::value_error(std::string(name) + " must " + rest);
}
[[noreturn]] void wrong_type(const char* name, const std::string& rest) {
  throw py::type_error(std::string(name) + " must " + rest);
}

}  // namespace

std::string text_of(Shape shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::array<py::ssize_t, 2> CallArrays::require_matrix(const py::array& array, const char* name,
                                                      int64_t rows, int64_t columns) {
  if (array.ndim() != 2) {
    wrong_value(name, "be a 2-D array, got shape " + text_of(shape_of(array)));
  }
  const std::array<py::ssize_t, 2> shape = {rows == kAnyRows ? array.shape(0) : rows,
                                            columns == kAnyColumns ? array.shape(1) : columns};
  require_shape(array, name, shape);
  return shape;
}

void CallArrays::require_shape(const py::array& array, const char* name, Shape shape) {
  if (!std::ranges::equal(shape_of(array), shape)) {
    wrong_value(name, "have shape " + text_of(shape) + ", got shape " + text_of(shape_of(array)));
  }
}

void CallArrays::require_writable(const py::object& given, const char* name, Shape shape,
                                  bool is_double) {
  if (!py::isinstance<py::array>(given)) {
    wrong_type(name, "be a NumPy array, got " + type_name(given));
  }
  const auto& numpy = py::detail::npy_api::get();
  // Writing to the memory of a masked array would not change its mask.
  if (Py_TYPE(given.ptr()) != numpy.PyArray_Type_ && py::hasattr(given, "mask")) {
    wrong_type(name, "be a NumPy array without a mask, got " + type_name(given));
  }
  const auto array = py::reinterpret_borrow<py::array>(given);
  const bool holds_doubles = py::isinstance<py::array_t<double>>(array);
  if (!holds_doubles && !py::isinstance<py::array_t<float>>(array)) {
    wrong_type(name, "have dtype float32 or float64, got " + std::string(py::str(array.dtype())));
  }
  if (holds_doubles != is_double || !std::ranges::equal(shape_of(array), shape)) {
    wrong_value(name, "have shape " + text_of(shape) + " and dtype " + float_name(is_double) +
                          ", got shape " + text_of(shape_of(array)) + " and dtype " +
                          float_name(holds_doubles));
  }
  if (!has(array, kContiguous | kAligned | kWritable)) {
    const auto flag = [&](int bit) { return std::string(has(array, bit) ? "True" : "False"); };
    wrong_value(name, "be a C-contiguous, aligned and writable array, got strides " +
                          text_of({array.strides(), static_cast<size_t>(array.ndim())}) +
                          " and flags writable=" + flag(kWritable) + ", aligned=" + flag(kAligned));
  }
}

void CallArrays::add(const py::array& array, const char* name, Use use) {
  if (!has(array, kContiguous | kAligned)) {
    wrong_value(name, "be a C-contiguous and aligned array, got strides " +
                          text_of({array.strides(), static_cast<size_t>(array.ndim())}));
  }
  if (array.size() == 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(array.data());
  const Memory own{begin, begin + static_cast<uintptr_t>(array.nbytes()), use != Use::kRead};
  for (size_t i = 0; i < count_; ++i) {
    const Memory& other = memories_[i];
    const bool overlaps = own.begin < other.end && other.begin < own.end;
    const bool is_allowed = use == Use::kWrittenInPlace && !other.is_written &&
                            own.begin == other.begin && own.end == other.end;
    if (overlaps && (own.is_written || other.is_written) && !is_allowed) {
      wrong_value(name, "not overlap another array of the call, got one that does");
    }
  }
  if (count_ == memories_.size()) throw std::logic_error("a call has more arrays than expected");
  memories_[count_++] = own;
}

}  // namespace chainrule::bindings
