// The right operand of a product in the form that kernels read, packed once and used for many rows.
// Made by dense layers and networks, read by ops/product.cpp and ops/bf16_product.cpp; calls a
// variant's kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/aligned_buffer.hpp"
#include "kernels/registry.hpp"
#include "ops/operand.hpp"
#include "ops/precision.hpp"

namespace chainrule {

// A network's or a layer's weights of more bytes, or a layer's gradient, are packed piece by piece
// where they are used; but weights that are bf16 terms never, for which packing is more work.
inline constexpr int64_t kMaxPanelBytes = int64_t{48} << 20;

inline bool has_room_for_panels(Precision precision, int64_t bytes) {
  return precision != Precision::kFull || bytes <= kMaxPanelBytes;
}

// How many panels the columns of a right operand form; the last one may be partly filled.
template <class T>
int64_t panel_count(const KernelTable<T>& kernels, int64_t columns) {
  return (columns + kernels.panel_columns - 1) / kernels.panel_columns;
}

// Packs b (k x n), with n <= panel_columns, as one panel.
template <class T>
void pack_panel(const KernelTable<T>& kernels, const Operand<T>& b, int64_t k, int64_t n, T* panel);

// A matrix B (k x n) in panels of columns: of elements, or of bf16 terms with a flag for each panel
// that says whether it was finite. It belongs to the kernels and to the precision that it has room
// for.
template <class T>
class PackedOperand {
 public:
  // What such an operand takes.
  static int64_t bytes(const KernelTable<T>& kernels, Precision precision, int64_t k, int64_t n);

  // Makes room; nothing is packed afterwards. Memory is kept, so that operands can take turns.
  void reserve(const KernelTable<T>& kernels, Precision precision, int64_t k, int64_t n);
  bool empty() const { return panel_count_ == 0; }
  int64_t panel_count() const { return panel_count_; }
  // Whether it has room for this operand.
  bool is_for(const KernelTable<T>& kernels, Precision precision, int64_t k, int64_t n) const;

  // Packs one of the panels of b, the whole matrix. Different panels may be packed at once.
  void pack(const KernelTable<T>& kernels, const Operand<T>& b, int64_t panel);

  // Of elements: panels of k rows each, one after the other.
  const T* panels() const { return panels_.data(); }
  // Of bf16 terms: the strips of kernels/bf16_kernels.hpp over all k.
  const std::byte* strip(int64_t panel) const { return strips_.data() + panel * strip_bytes_; }
  bool is_finite() const;

 private:
  Precision precision_ = Precision::kFull;
  int64_t k_ = 0, n_ = 0, panel_columns_ = 0, panel_count_ = 0, strip_bytes_ = 0;
  AlignedBuffer<T> panels_;
  AlignedBuffer<std::byte> strips_;
  AlignedBuffer<bool> are_finite_;
};

}  // namespace chainrule
