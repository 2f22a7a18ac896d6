// Orthonormal vectors from normal ones, for the initializer `orthogonal`. Used by
// network/initializers.cpp.
#pragma once

#include <cstdint>

#include "base/random.hpp"
#include "ops/team.hpp"

namespace chainrule {

// The factor Q of the QR decomposition, with R of a positive diagonal, of a matrix of normal
// numbers (Haar's distribution): min(rows, columns) vectors, which are the columns of out (rows,
// columns), or its rows if there are more columns. The same bits on every variant and for any
// number of threads. Unfinished when the team's interrupt stopped it.
template <class T>
void fill_orthogonal(Team& team, const RandomStream& stream, int64_t rows, int64_t columns, T* out);

}  // namespace chainrule
