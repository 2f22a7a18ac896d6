// What a core can do at most: multiply-adds of registers and nothing else. Compiled per variant;
// called by ops/peak.cpp through the table.
//
// An FMA takes four or five cycles and a core starts two of them in each, so that ten chains keep
// it busy; twelve fit in 16 registers beside the two factors. Each chain is x = x / 2 + 1, which
// approaches 2: no overflow, no denormal. The chains start apart, or a compiler could merge them.
#pragma once

#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

template <class T>
int64_t multiply_add_peak(int64_t iterations, T* end) {
  constexpr int kChains = 12;
  const Vec<T> half = Vec<T>::broadcast(static_cast<T>(0.5));
  const Vec<T> one = Vec<T>::broadcast(T{1});
  Vec<T> chains[kChains];
  unrolled<kChains>(
      [&](int c) CHAINRULE_INLINE_LAMBDA { chains[c] = Vec<T>::broadcast(static_cast<T>(c + 1)); });
  for (int64_t i = 0; i < iterations; ++i) {
    unrolled<kChains>(
        [&](int c) CHAINRULE_INLINE_LAMBDA { chains[c] = multiply_add(chains[c], half, one); });
  }
  Vec<T> sum = chains[0];
  for (int c = 1; c < kChains; ++c) sum = sum + chains[c];
  sum.store_partial(end, 1);
  return iterations * kChains * Vec<T>::kLanes;
}

}  // namespace
}  // namespace chainrule
