#include "layers/orthogonal.hpp"

#include <algorithm>
#include <cmath>

#include "base/aligned_buffer.hpp"
#include "base/standard_normal.hpp"
#include "ops/product.hpp"

namespace chainrule {
namespace {

// Vectors that are made orthogonal to each other at a time: whole tiles of every variant, and
// products large enough for them to be nearly all of the work.
constexpr int64_t kBlockVectors = 96;
// What threads take at a time: rows of a product, columns of one, elements.
constexpr int64_t kPieceRows = 96, kPieceColumns = 256, kPieceElements = 4096;

int64_t pieces_of(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

// A number as the sum of two of 26 significant bits (Dekker 1971). Products of such numbers are
// exact, so that a product of matrices has the same bits with fused multiply-adds and, in
// `baseline`, without.
struct Halves {
  double high, low;

  explicit Halves(double x) {
    const double scaled = 134217729.0 * x;
    high = scaled - (scaled - x);
    low = x - high;
  }
};

// Rows one after the other, padded so that those a power of two long do not share cache sets.
struct Rows {
  int64_t stride = 0;
  AlignedBuffer<double> buffer;

  void reserve(int64_t count, int64_t length) {
    constexpr int64_t kLine = 8;
    stride = (length + kLine - 1) / kLine * kLine + kLine;
    buffer.reserve_scratch(checked_product(count, stride));
  }
  double* row(int64_t i) { return buffer.data() + i * stride; }
};

// Block Gram-Schmidt with two passes (Stewart, "Block Gram-Schmidt orthogonalization", SIAM J. Sci.
// Comput. 31(1), 2008). The vectors of a block lose their projections on all earlier ones, by
// products of matrices, and are made orthonormal among themselves; then all that again. With W the
// block and Q the earlier vectors, in halves W = Wh + Wl and Q = Qh + Ql:
//   first   P = Wh Qh^T                       2^-27 wrong, which the second pass mends
//           W -= P (Qh + Ql)                  P rounded to 26 bits; W stays in the span of W and Q
//   second  P = Wl Qh^T + Wh Ql^T + Wh Qh^T   the whole product, to rounding
//           W -= P Qh                         P is so small that Ql does not count
class Orthogonalizer {
 public:
  Orthogonalizer(Team& team, const RandomStream& stream, int64_t count, int64_t length)
      : team_(team), stream_(stream), length_(length) {
    high_.reserve(count, length);
    low_.reserve(count, length);
    const int64_t most = std::min(count, kBlockVectors);
    for (Rows* rows : {&block_, &block_high_, &block_low_}) rows->reserve(most, length);
    projections_.reserve_scratch(checked_product(count, most));
  }

  // The vectors from `first` on, after all before them.
  void make_block(int64_t first, int64_t size) {
    draw(first, size);
    for (const bool is_second : {false, true}) {
      if (first > 0) {
        split(size, block_high_.row(0), block_low_.row(0));
        measure(first, size, is_second);
        subtract(first, size, is_second);
      }
      orthonormalize(size);
    }
    split(size, high_.row(first), low_.row(first));
  }
  // One of the block made last.
  const double* vector(int64_t i) { return block_.row(i); }

 private:
  // Element i of vector v is number v * length + i.
  void draw(int64_t first, int64_t size) {
    const int64_t count = size * length_;
    team_.run(pieces_of(count, kPieceElements), count * kNormalWork,
              [&](Context& context, int64_t piece) {
                const int64_t begin = piece * kPieceElements;
                const int64_t end = std::min(count, begin + kPieceElements);
                for (int64_t i = begin; i < end; ++i) {
                  block_.row(i / length_)[i % length_] =
                      standard_normal(stream_, static_cast<uint64_t>(first * length_ + i));
                }
                context.stop_requested((end - begin) * kNormalWork);
              });
  }

  void split(int64_t size, double* high, double* low) {
    team_.run(size, size * length_ * kElementWork, [&](Context& context, int64_t v) {
      const double* from = block_.row(v);
      for (int64_t i = 0; i < length_; ++i) {
        const Halves halves(from[i]);
        high[v * block_.stride + i] = halves.high;
        low[v * block_.stride + i] = halves.low;
      }
      context.stop_requested(length_ * kElementWork);
    });
  }

  // projections (first, size) = -(Q W^T)
  void measure(int64_t first, int64_t size, bool is_second) {
    const int64_t products = is_second ? 3 : 1;
    team_.run(pieces_of(first, kPieceRows), products * first * size * length_,
              [&](Context& context, int64_t piece) {
                const int64_t row = piece * kPieceRows, rows = std::min(kPieceRows, first - row);
                double* to = projections_.data() + row * size;
                const auto add = [&](Rows& q, Rows& w, bool continues) {
                  product<double>(
                      context, {rows, size, length_}, matrix<double>(q.row(row), q.stride),
                      transposed<double>(w.row(0), w.stride), {to, size, nullptr, continues});
                };
                if (is_second) {
                  add(high_, block_low_, false);
                  add(low_, block_high_, true);
                }
                add(high_, block_high_, is_second);
                for (int64_t i = 0; i < rows * size; ++i) to[i] = -Halves(to[i]).high;
              });
  }

  void subtract(int64_t first, int64_t size, bool is_second) {
    const int64_t products = is_second ? 1 : 2;
    team_.run(pieces_of(length_, kPieceColumns), products * first * size * length_,
              [&](Context& context, int64_t piece) {
                const int64_t column = piece * kPieceColumns;
                const auto add = [&](Rows& q) {
                  product<double>(context, {size, std::min(kPieceColumns, length_ - column), first},
                                  transposed<double>(projections_.data(), size),
                                  matrix<double>(q.row(0) + column, q.stride),
                                  {block_.row(0) + column, block_.stride, nullptr, true});
                };
                add(high_);
                if (!is_second) add(low_);
              });
  }

  // Modified Gram-Schmidt: a vector that is done is taken out of all that follow it.
  void orthonormalize(int64_t size) {
    for (int64_t v = 0; v < size && !team_.is_stopped(); ++v) {
      double* done = block_.row(v);
      const double inverse = 1 / std::sqrt(team_.kernels<double>().dot(done, done, length_));
      for (int64_t i = 0; i < length_; ++i) done[i] *= inverse;
      const int64_t others = size - 1 - v;
      team_.run(others, others * length_ * kElementWork, [&](Context& context, int64_t i) {
        const KernelTable<double>& kernels = context.kernels<double>();
        double* other = block_.row(v + 1 + i);
        kernels.add_scaled(-kernels.dot(done, other, length_), done, other, length_);
        context.stop_requested(length_ * kElementWork);
      });
    }
  }

  Team& team_;
  const RandomStream& stream_;
  int64_t length_;
  Rows high_, low_, block_, block_high_, block_low_;
  AlignedBuffer<double> projections_;
};

}  // namespace

template <class T>
void fill_orthogonal(Team& team, const RandomStream& stream, int64_t rows, int64_t columns,
                     T* out) {
  const int64_t count = std::min(rows, columns), length = std::max(rows, columns);
  Orthogonalizer vectors(team, stream, count, length);
  for (int64_t first = 0; first < count; first += kBlockVectors) {
    const int64_t size = std::min(kBlockVectors, count - first);
    vectors.make_block(first, size);
    if (team.is_stopped()) return;
    // Rows of out, or parts of them.
    constexpr int64_t kPiece = 256;
    team.run(pieces_of(length, kPiece), size * length * kElementWork,
             [&](Context& context, int64_t piece) {
               const int64_t begin = piece * kPiece, end = std::min(length, begin + kPiece);
               if (rows < columns) {
                 for (int64_t v = 0; v < size; ++v) {
                   std::transform(vectors.vector(v) + begin, vectors.vector(v) + end,
                                  out + (first + v) * columns + begin,
                                  [](double x) { return static_cast<T>(x); });
                 }
               } else {
                 for (int64_t i = begin; i < end; ++i) {
                   for (int64_t v = 0; v < size; ++v) {
                     out[i * columns + first + v] = static_cast<T>(vectors.vector(v)[i]);
                   }
                 }
               }
               context.stop_requested((end - begin) * size * kElementWork);
             });
  }
}

template void fill_orthogonal(Team&, const RandomStream&, int64_t, int64_t, float*);
template void fill_orthogonal(Team&, const RandomStream&, int64_t, int64_t, double*);

}  // namespace chainrule
