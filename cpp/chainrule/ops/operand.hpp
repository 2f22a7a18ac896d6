// Operands and results of products as they lie in memory. Used by whoever calls ops/product.hpp.
#pragma once

#include <cstdint>

namespace chainrule {

// Element (i, j) is data[i * row_stride + j * column_stride].
template <class T>
struct Operand {
  const T* data;
  int64_t row_stride, column_stride;
};

// A row-major matrix with rows of `columns` elements, and its transpose.
template <class T>
Operand<T> matrix(const T* data, int64_t columns) {
  return {data, columns, 1};
}
template <class T>
Operand<T> transposed(const T* data, int64_t columns) {
  return {data, 1, columns};
}

// The transpose of any operand, and the rows of one from `row` on.
template <class T>
Operand<T> transposed(const Operand<T>& x) {
  return {x.data, x.column_stride, x.row_stride};
}
template <class T>
Operand<T> rows_from(const Operand<T>& x, int64_t row) {
  return {x.data + row * x.row_stride, x.row_stride, x.column_stride};
}

// The result: row-major, and what its elements start from.
template <class T>
struct Result {
  T* data;
  int64_t row_stride;
  const T* bias = nullptr;  // a row of starts; null: zeros
  bool continues = false;   // starts from what is there
};

}  // namespace chainrule
