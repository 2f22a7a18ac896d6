// Operands and results of products as they lie in memory. Used by whoever calls ops/product.hpp.
#pragma once

#include <cstdint>

#include "base/checks.hpp"

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

// For contracts: whether x is a matrix or a transposed one, and whether a rows x columns part of it
// is there.
template <class T>
bool is_valid(const Operand<T>& x, int64_t rows, int64_t columns) {
  return (x.row_stride == 1 || x.column_stride == 1) && x.row_stride >= 0 && x.column_stride >= 0 &&
         is_there(x.data, rows * columns);
}

// The result: row-major, and what its elements start from.
template <class T>
struct Result {
  T* data;
  int64_t row_stride;
  const T* bias = nullptr;  // a row of starts; null: zeros
  bool continues = false;   // starts from what is there
};

// For contracts, likewise: whether it is there, its rows do not overlap, and nothing of it, or
// between its rows, is part of the operand.
template <class T>
bool is_valid(const Result<T>& c, int64_t rows, int64_t columns) {
  return (rows <= 1 || c.row_stride >= columns) && is_there(c.data, rows * columns);
}
template <class T>
bool is_apart(const Result<T>& c, int64_t c_rows, int64_t c_columns, const Operand<T>& x,
              int64_t rows, int64_t columns) {
  if (c_rows * c_columns == 0 || rows * columns == 0) return true;
  return are_apart(c.data, (c_rows - 1) * c.row_stride + c_columns, x.data,
                   (rows - 1) * x.row_stride + (columns - 1) * x.column_stride + 1);
}

}  // namespace chainrule
