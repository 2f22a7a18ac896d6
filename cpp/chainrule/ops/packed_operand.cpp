#include "ops/packed_operand.hpp"

#include <algorithm>

#include "ops/bf16_product.hpp"

namespace chainrule {

template <class T>
void pack_panel(const KernelTable<T>& kernels, const Operand<T>& b, int64_t k, int64_t n,
                T* panel) {
  if (b.column_stride == 1) {
    kernels.pack_panel(b.data, b.row_stride, k, n, panel);
  } else {
    kernels.pack_transposed_panel(b.data, b.column_stride, k, n, panel);
  }
}

template <class T>
int64_t PackedOperand<T>::bytes(const KernelTable<T>& kernels, Precision precision, int64_t k,
                                int64_t n) {
  const int64_t panels = chainrule::panel_count(kernels, n);
  return is_bf16<T>(precision) ? panels * (bf16_strip_bytes(*kernels.bf16, precision, k) + 1)
                               : panels * kernels.panel_columns * k * int64_t{sizeof(T)};
}

template <class T>
void PackedOperand<T>::reserve(const KernelTable<T>& kernels, Precision precision, int64_t k,
                               int64_t n) {
  CHAINRULE_ASSERT(k >= 0 && n >= 0 && precision != Precision::kAuto);
  precision_ = precision;
  k_ = k;
  n_ = n;
  panel_columns_ = kernels.panel_columns;
  panel_count_ = chainrule::panel_count(kernels, n);
  if (is_bf16<T>(precision)) {
    strip_bytes_ = bf16_strip_bytes(*kernels.bf16, precision, k);
    strips_.reserve_scratch(panel_count_ * strip_bytes_);
    are_finite_.reserve(panel_count_);
  } else {
    panels_.reserve_scratch(panel_count_ * panel_columns_ * k);
  }
}

template <class T>
bool PackedOperand<T>::is_for(const KernelTable<T>& kernels, Precision precision, int64_t k,
                              int64_t n) const {
  return precision_ == precision && k_ == k && n_ == n && panel_columns_ == kernels.panel_columns &&
         (!is_bf16<T>(precision) || strip_bytes_ == bf16_strip_bytes(*kernels.bf16, precision, k));
}

template <class T>
void PackedOperand<T>::pack(const KernelTable<T>& kernels, const Operand<T>& b, int64_t panel) {
  CHAINRULE_ASSERT(0 <= panel && panel < panel_count_);
  CHAINRULE_ASSERT(is_for(kernels, precision_, k_, n_) && is_valid(b, k_, n_));
  const int64_t column = panel * panel_columns_, columns = std::min(panel_columns_, n_ - column);
  const Operand<T> part{b.data + column * b.column_stride, b.row_stride, b.column_stride};
  if constexpr (has_bf16<T>) {
    if (is_bf16<T>(precision_)) {
      are_finite_[panel] = bf16_pack(*kernels.bf16, precision_, part, k_, columns,
                                     strips_.data() + panel * strip_bytes_);
      return;
    }
  }
  pack_panel(kernels, part, k_, columns, panels_.data() + column * k_);
}

template <class T>
bool PackedOperand<T>::is_finite() const {
  const bool* flags = are_finite_.data();
  return std::all_of(flags, flags + panel_count_, [](bool flag) { return flag; });
}

template void pack_panel(const KernelTable<float>&, const Operand<float>&, int64_t, int64_t,
                         float*);
template void pack_panel(const KernelTable<double>&, const Operand<double>&, int64_t, int64_t,
                         double*);
template class PackedOperand<float>;
template class PackedOperand<double>;

}  // namespace chainrule
