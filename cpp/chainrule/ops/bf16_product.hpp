// Products of float32 matrices as products of bf16 terms: packing, blocking, and what is not
// finite. Called by ops/product.cpp and ops/packed_operand.cpp; calls a variant's bf16
// kernels.
//
// An element whose row of A or column of B holds something that is not finite gets the finite part
// of its sum as any other, and then the other products, as they are: an infinity becomes a NaN
// where float32 says so and nowhere else, since no infinity is split.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/context.hpp"
#include "ops/operand.hpp"
#include "ops/packed_operand.hpp"
#include "ops/precision.hpp"

namespace chainrule {

// Bytes of one packed strip of columns of a right operand, over all of its k rows.
int64_t bf16_strip_bytes(const Bf16Kernels& kernels, Precision precision, int64_t k);
// Packs b (k x n), with n <= right_lines, as one strip. Returns whether all of it was finite.
bool bf16_pack(const Bf16Kernels& kernels, Precision precision, const Operand<float>& b, int64_t k,
               int64_t n, std::byte* strip);

// C (m x n) = start + A (m x k) B (k x n). `packed` is B packed, or null. Stops early, C
// unfinished, when the context says so.
void bf16_product(Context& context, Precision precision, int64_t m, int64_t n, int64_t k,
                  const Operand<float>& a, const Operand<float>& b,
                  const PackedOperand<float>* packed, const Result<float>& c);

}  // namespace chainrule
