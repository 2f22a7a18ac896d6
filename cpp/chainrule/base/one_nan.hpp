// The one NaN that is written to any output: quiet, positive, without a payload, NumPy's nan. Which
// of two NaNs an operation returns, and the sign of one that it makes, differ between instructions;
// canonical NaNs make the bits of outputs the same nevertheless. Used wherever a result is stored.
#pragma once

namespace chainrule {

// Kept free of std:: and static, for the variant units include it too.
template <class T>
static inline T one_nan(T x) {
  return x == x ? x : static_cast<T>(__builtin_nan(""));
}

}  // namespace chainrule
