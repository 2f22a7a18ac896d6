// Numbers as sums of bf16 terms, and the order of their products. Compiled per variant; used by
// bf16-inl.hpp and tiles-inl.hpp.
#pragma once

#include "kernels/bf16_kernels.hpp"
#include "simd/vec.hpp"

namespace chainrule {
namespace {

// 0 for what is not finite, which then takes no part in a product; ops adds it by itself.
CHAINRULE_INLINE Vec<float> finite_or_zero(Vec<float> x, bool& all_finite) {
  const Mask<float> is_finite = abs(x) <= Vec<float>::broadcast(3.40282347e+38F);
  all_finite &= all(is_finite);
  return select(is_finite, x, Vec<float>::zero());
}

// Takes the next term off what is left of x. The difference is exact, but for denormals: a term
// has the leading 8 bits of it.
CHAINRULE_INLINE Vec<float> take_term(Vec<float>& rest) {
  const Vec<float> term = round_to_bf16(rest);
  rest = rest - term;
  return term;
}

// body(product) for each product of terms, in order.
template <class Body>
CHAINRULE_INLINE void for_term_products(int terms, const Body& body) {
  if (terms == 1) {
    for (const TermProduct& product : kTermProducts1) body(product);
  } else if (terms == 2) {
    for (const TermProduct& product : kTermProducts2) body(product);
  } else {
    for (const TermProduct& product : kTermProducts3) body(product);
  }
}

}  // namespace
}  // namespace chainrule
