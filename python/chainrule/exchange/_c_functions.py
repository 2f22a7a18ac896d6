"""The C functions that exported files are made of: scalar twins of the kernels.

Used by _c.py. Each piece of text is one function; :func:`pieces` returns those that a set of names
needs, in an order that compiles. They do the operations of simd/math.hpp and
of kernels/activation-inl.hpp, norm-inl.hpp, loops-inl.hpp and product-inl.hpp in the same order, so
that results have the same bits. A piece has the name of its twin, with "_of" behind it where C has
that name already. In a file, :func:`qualified` puts the model's name before all of these names, so
that several files fit into one translation unit. The text is C99 and C++17 alike.

Arithmetic goes through add, subtract, multiply, divide and fused, which flush denormal results to
zero as the kernels' processors do (docs/decisions/0004); `fused` is the exact fused multiply-add,
`multiply_add` that of products, which rounds twice in the variant `baseline`.
"""

from __future__ import annotations

import re

import numpy as np

from ._coefficients import (
    COEFFICIENTS,
    GELU_CUBIC,
    GELU_SCALE,
    LIMITS,
    NORM_EPSILON,
    SELU_ALPHA,
    SELU_SCALE,
    rounded,
)

# What the C text calls the element type's own names.
TYPES: dict[str, dict[str, str]] = {
    "float32": {
        "real": "float",
        "bits": "uint32_t",
        "suffix": "f",
        "sign": "0x80000000u",
        "mantissa_bits": "23",
        "smallest": "0x1p-126f",
        "scale": "0x1p32f",
        "fma": "fmaf",
        "sqrt": "sqrtf",
    },
    "float64": {
        "real": "double",
        "bits": "uint64_t",
        "suffix": "",
        "sign": "0x8000000000000000u",
        "mantissa_bits": "52",
        "smallest": "0x1p-1022",
        "scale": "0x1p64",
        "fma": "fma",
        "sqrt": "sqrt",
    },
}

PIECES: dict[str, str] = {
    "to_bits": """
static bits to_bits(real x) {
  bits pattern;
  memcpy(&pattern, &x, sizeof pattern);
  return pattern;
}""",
    "from_bits": """
static real from_bits(bits x) {
  real number;
  memcpy(&number, &x, sizeof number);
  return number;
}""",
    "absolute": """
static real absolute(real x) { return from_bits(to_bits(x) & ~SIGN); }""",
    "with_sign": """
static real with_sign(real magnitude, real sign) {
  return from_bits((to_bits(magnitude) & ~SIGN) | (to_bits(sign) & SIGN));
}""",
    "minimum": """
static real minimum(real a, real b) { return a < b ? a : b; }""",
    "maximum": """
static real maximum(real a, real b) { return a > b ? a : b; }""",
    "flushed": """
/* Denormal numbers count as zero. */
static real flushed(real x) { return absolute(x) < SMALLEST ? with_sign(0, x) : x; }""",
    "flushed_result": """
/* A result r of at most SMALLEST in magnitude. It is zero too if it was rounded up to SMALLEST and
   would be below it with an unbounded exponent, as `scaled`, r times SCALE, shows. */
static real flushed_result(real r, real scaled) {
  const int rounded_up = absolute(r) == SMALLEST && absolute(scaled) < SMALLEST * SCALE;
  return rounded_up ? with_sign(0, r) : flushed(r);
}""",
    "add": """
static real add(real a, real b) { return flushed(a + b); }""",
    "subtract": """
static real subtract(real a, real b) { return flushed(a - b); }""",
    "multiply": """
static real multiply(real a, real b) {
  const real r = a * b;
  return absolute(r) > SMALLEST ? r : flushed_result(r, (a * SCALE) * b);
}""",
    "divide": """
static real divide(real a, real b) {
  const real r = a / b;
  return absolute(r) > SMALLEST ? r : flushed_result(r, (a * SCALE) / b);
}""",
    "fused": """
/* a b + c, rounded once. */
static real fused(real a, real b, real c) {
  const real r = FMA(a, b, c);
  return absolute(r) > SMALLEST ? r : flushed_result(r, FMA(a * SCALE, b, c * SCALE));
}""",
    "multiply_add": """
/* One step of a product. */
static real multiply_add(real a, real b, real c) { return @STEP@; }""",
    "polynomial": """
/* c[0] + c[1] x + c[2] x^2 + ... */
static real polynomial(real x, const real *c, int count) {
  real y = c[count - 1];
  int i;
  for (i = count - 2; i >= 0; --i) y = fused(x, y, c[i]);
  return y;
}
#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof c / sizeof c[0]))""",
    "power_of_two": """
/* 2^n for t = BIASED_SHIFT + n. */
static real power_of_two(real t) { return from_bits(to_bits(t) << MANTISSA_BITS); }""",
    "reduce_exp": """
/* x = n log(2) + r with integral n and |r| <= log(2) / 2; t = shift + n. */
typedef struct { real n, r, t; } exp_argument;

static exp_argument reduce_exp(real x, real shift) {
  exp_argument e;
  e.t = fused(x, LOG2_E, shift);
  e.n = subtract(e.t, shift);
  e.r = fused(-e.n, LOG2_LOW, fused(-e.n, LOG2_HIGH, x));
  return e;
}""",
    "expm1_reduced": """
/* exp(r) - 1 for |r| <= log(2) / 2. */
static real expm1_reduced(real r) { return fused(multiply(r, r), POLYNOMIAL(r, EXP), r); }""",
    "exp_bounded": """
/* exp(x) for x <= EXP_MAX. */
static real exp_bounded(real x) {
  const exp_argument e = reduce_exp(x, PLAIN_SHIFT);
  const real p = fused(e.r, fused(e.r, POLYNOMIAL(e.r, EXP), 1), 1);
  return x < EXP_MIN ? 0 : from_bits(to_bits(p) + (to_bits(e.t) << MANTISSA_BITS));
}""",
    "exp_of": """
static real exp_of(real x) {
  return x <= EXP_MAX ? exp_bounded(x) : multiply(x, MAX_FINITE);
}""",
    "expm1_of": """
static real expm1_of(real x) {
  const real bounded = maximum(EXPM1_MIN, x);
  const exp_argument e = reduce_exp(bounded, BIASED_SHIFT - 1);
  const real power = power_of_two(e.t);
  const real v = multiply(multiply(e.r, e.r), POLYNOMIAL(e.r, EXP));
  const real half = fused(power, v, fused(power, e.r, subtract(power, HALF)));
  if (!(bounded <= EXP_MAX)) return multiply(x, MAX_FINITE);
  return absolute(x) < TINY ? x : add(half, half);
}""",
    "tanh_of": """
static real tanh_of(real x) {
  const real a = absolute(x);
  const real bounded = minimum(TANH_MAX, a);
  const real t = fused(bounded, LOG2_E * 2, BIASED_SHIFT);
  const real r = fused(-subtract(t, BIASED_SHIFT), LOG2 * HALF, bounded);
  const real u = multiply(r, fused(r, POLYNOMIAL(r, EXP_DOUBLED), 2));
  const real power = power_of_two(t);
  const real large = subtract(1, divide(2, fused(power, u, add(power, 1))));
  const real square = multiply(a, a);
  const real small = fused(a, multiply(square, POLYNOMIAL(square, TANH)), a);
  return with_sign(a < TANH_LIMIT ? small : large, x);
}""",
    "sigmoid_of": """
static real sigmoid_of(real x) {
  const real bounded = maximum(EXP_MIN, minimum(POWER_MAX, -x));
  const exp_argument e = reduce_exp(bounded, BIASED_SHIFT);
  const real power = power_of_two(e.t);
  const real u = expm1_reduced(e.r);
  const real sum = add(power, 1);
  const real lost = subtract(1, subtract(sum, power));
  const real high = fused(power, u, sum);
  const real low = add(fused(power, u, subtract(sum, high)), lost);
  const real y = divide(1, high);
  return fused(y, fused(-y, low, fused(-y, high, 1)), y);
}""",
    "softplus_of": """
static real softplus_of(real x) {
  const real z = exp_bounded(-absolute(x));
  return add(maximum(0, x), fused(multiply(z, z), POLYNOMIAL(z, LOG1P), z));
}""",
    "normal_cdf": """
static real normal_cdf(real x) {
  const real a = minimum(PHI_LIMIT, absolute(x));
  const real inverse = divide(1, add(a, PHI_CENTER));
  const real quotient = multiply(subtract(a, PHI_CENTER), inverse);
  const real remainder = fused(-quotient, a, fused(-add(quotient, 1), PHI_CENTER, a));
  const real factor = multiply(inverse, POLYNOMIAL(fused(remainder, inverse, quotient), PHI));
  const real square = multiply(a, a);
  const real lost = fused(a, a, -square);
  const exp_argument e = reduce_exp(multiply(-HALF, square), BIASED_SHIFT);
  const real u = expm1_reduced(fused(-HALF, lost, e.r));
  const real tail = multiply(fused(factor, u, factor), power_of_two(e.t));
  return x < 0 ? tail : subtract(1, tail);
}""",
    "relu": """
static real relu(real x, real parameter) {
  (void)parameter;
  return maximum(0, x);
}""",
    "leaky_relu": """
static real leaky_relu(real x, real negative_slope) {
  return x > 0 ? x : multiply(negative_slope, x);
}""",
    "elu": """
static real elu(real x, real alpha) { return x > 0 ? x : multiply(alpha, expm1_of(x)); }""",
    "selu": """
static real selu(real x, real parameter) {
  (void)parameter;
  return x > 0 ? multiply(SELU_SCALE, x) : multiply(SELU_PRODUCT, expm1_of(x));
}""",
    "gelu": """
static real gelu(real x, real parameter) {
  (void)parameter;
  return multiply(x, normal_cdf(x));
}""",
    "gelu_tanh": """
static real gelu_tanh(real x, real parameter) {
  const real z = minimum(10, maximum(-10, x));
  const real inner = fused(multiply(GELU_CUBIC, multiply(z, z)), z, z);
  (void)parameter;
  return multiply(multiply(HALF, x), add(1, tanh_of(multiply(GELU_SCALE, inner))));
}""",
    "silu": """
static real silu(real x, real parameter) {
  (void)parameter;
  return multiply(x, sigmoid_of(x));
}""",
    "mish": """
static real mish(real x, real parameter) {
  const real e = exp_of(minimum(20, x));
  const real n = multiply(e, add(e, 2));
  (void)parameter;
  return multiply(x, divide(n, add(n, 2)));
}""",
    "sigmoid": """
static real sigmoid(real x, real parameter) {
  (void)parameter;
  return sigmoid_of(x);
}""",
    "tanh_activation": """
static real tanh_activation(real x, real parameter) {
  (void)parameter;
  return tanh_of(x);
}""",
    "softplus": """
static real softplus(real x, real parameter) {
  (void)parameter;
  return softplus_of(x);
}""",
    "activate": """
static void activate(real *y, size_t n, real (*function)(real, real), real parameter) {
  size_t j;
  for (j = 0; j < n; ++j) y[j] = function(y[j], parameter);
}""",
    "dense": """
/* y = x W + bias: each y[j] is one chain over the inputs, in their order. */
static void dense(const real *x, size_t inputs, const real *weight, const real *bias, real *y,
                  size_t outputs) {
  size_t i, j;
  for (j = 0; j < outputs; ++j) y[j] = bias ? bias[j] : 0;
  for (i = 0; i < inputs; ++i, weight += outputs) {
    const real element = x[i];
    for (j = 0; j < outputs; ++j) y[j] = multiply_add(element, weight[j], y[j]);
  }
}""",
    "layer_norm": """
/* The sum of 16 lanes, upper half onto lower half. */
static real folded(real *lanes) {
  int half, i;
  for (half = 8; half > 0; half /= 2) {
    for (i = 0; i < half; ++i) lanes[i] = add(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

/* Layer normalization, in place: element j is added to lane j mod 16. */
static void layer_norm(real *y, size_t n, const real *scale, const real *shift) {
  real lanes[16] = {0}, mean, variance, inverse;
  size_t j;
  for (j = 0; j < n; ++j) lanes[j % 16] = add(lanes[j % 16], y[j]);
  mean = divide(folded(lanes), (real)n);
  for (j = 0; j < 16; ++j) lanes[j] = 0;
  for (j = 0; j < n; ++j) {
    y[j] = subtract(y[j], mean);
    lanes[j % 16] = add(lanes[j % 16], multiply(y[j], y[j]));
  }
  variance = divide(folded(lanes), (real)n);
  inverse = divide(1, SQRT(add(variance, NORM_EPSILON)));
  for (j = 0; j < n; ++j) y[j] = fused(multiply(y[j], inverse), scale[j], shift[j]);
}""",
    "batch_norm": """
/* Batch normalization by running statistics, in place; inverse = 1 / sqrt(variance + epsilon). */
static void batch_norm(real *y, size_t n, const real *mean, const real *inverse, const real *scale,
                       const real *shift) {
  size_t j;
  for (j = 0; j < n; ++j) {
    y[j] = fused(multiply(subtract(y[j], mean[j]), inverse[j]), scale[j], shift[j]);
  }
}""",
}

# Names of C functions for activations; those that are not here have their own. Identity has none.
ACTIVATION_FUNCTIONS = {"tanh": "tanh_activation"}


def number_text(value: float, dtype: str) -> str:
    """Write an element exactly: hexadecimal, zero and whole numbers short."""
    suffix = TYPES[dtype]["suffix"]
    if value == int(value) and abs(value) < 1000:
        return f"{value:.1f}{suffix}"
    mantissa, exponent = value.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{int(exponent)}{suffix}"


# What defines a name that is not the piece's own.
_PROVIDED = {"exp_argument": "reduce_exp", "POLYNOMIAL": "polynomial", "folded": "layer_norm"}
_CONSTANTS = (
    *("real", "bits", "SIGN", "SMALLEST", "SCALE", "FMA", "SQRT", "MANTISSA_BITS", "HALF"),
    *("SELU_SCALE", "SELU_PRODUCT", "GELU_SCALE", "GELU_CUBIC", "NORM_EPSILON"),
    *LIMITS["float32"],
    *COEFFICIENTS["float32"],
)
_OWN_NAMES = frozenset({*PIECES, *_PROVIDED, *_CONSTANTS})
# Comments and strings are left as they are.
_TOKEN = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\b[A-Za-z_]\w*', re.DOTALL)


def prefix_of(name: str) -> str:
    """Return what the names that a file keeps for itself begin with."""
    return f"{name}_cr_"


def qualified(text: str, name: str) -> str:
    """Put the prefix of a model before the names of functions, types, macros and constants."""
    prefix = prefix_of(name)

    def replaced(match: re.Match[str]) -> str:
        word = match[0]
        return f"{prefix}{word}" if word in _OWN_NAMES else word

    return _TOKEN.sub(replaced, text)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)))


def pieces(names: set[str], dtype: str, fuses_products: bool) -> str:
    """Return C text that defines the functions `names`, what they call, and their numbers."""
    step = "fused(a, b, c)" if fuses_products else "add(multiply(a, b), c)"
    texts = {name: text.replace("@STEP@", step) for name, text in PIECES.items()}
    needed: set[str] = set()
    open_names = set(names)
    while open_names:
        needed |= open_names
        used = {_PROVIDED.get(word, word) for name in open_names for word in _words(texts[name])}
        open_names = (used & texts.keys()) - needed
    text = "\n".join(texts[name] for name in texts if name in needed)
    return f"{_constants(_words(text), dtype)}\n{text}\n"


def _constants(used: set[str], dtype: str) -> str:
    """Return definitions of the type names and of the numbers that are used."""
    names = TYPES[dtype]
    lines = [
        f"typedef {names['real']} real;",
        f"typedef {names['bits']} bits;",
        f"#define SIGN {names['sign']}",
        f"#define SMALLEST {names['smallest']} /* normal number */",
        f"#define SCALE {names['scale']}",
    ]
    element = np.dtype(dtype)
    numbers = {name: float.fromhex(text) for name, text in LIMITS[dtype].items()}
    arrays = {}
    for name, text in COEFFICIENTS[dtype].items():
        values = [float.fromhex(part) for part in text.split()]
        if len(values) == 1:
            numbers[name] = values[0]
        else:
            arrays[name] = values
    numbers |= {
        "HALF": 0.5,
        "SELU_SCALE": rounded(SELU_SCALE, element),
        "SELU_PRODUCT": rounded(SELU_SCALE * SELU_ALPHA, element),
        "GELU_SCALE": rounded(GELU_SCALE, element),
        "GELU_CUBIC": rounded(GELU_CUBIC, element),
        "NORM_EPSILON": rounded(NORM_EPSILON, element),
    }
    for word in ("FMA", "SQRT"):
        if word in used:
            lines.append(f"#define {word} {names[word.lower()]}")
    if "MANTISSA_BITS" in used:
        lines.append(f"#define MANTISSA_BITS {names['mantissa_bits']}")
    for name, value in numbers.items():
        if name in used:
            text = number_text(value, dtype)
            lines.append(f"#define {name} {f'({text})' if value < 0 else text}")
    for name, values in arrays.items():
        if name in used:
            lines.append(f"static const real {name}[] = {{{array_text(values, dtype)}}};")
    return "\n".join(lines)


def array_text(values: list[float], dtype: str) -> str:
    """Write elements, a few on each line."""
    per_line = 8 if dtype == "float32" else 4
    rows = [values[i : i + per_line] for i in range(0, len(values), per_line)]
    return ",\n  ".join(", ".join(number_text(value, dtype) for value in row) for row in rows)
