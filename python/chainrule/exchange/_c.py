"""Models as one file in C99, which is C++17 as well: :func:`to_c`.

The functions of the file are in _c_functions.py; this module writes the numbers of the model, the
calls of its layers, and test vectors around them.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core, runtime
from ._c_functions import (
    ACTIVATION_FUNCTIONS,
    TYPES,
    array_text,
    number_text,
    pieces,
    prefix_of,
    qualified,
)
from ._coefficients import NORM_EPSILON, rounded
from ._parts import ROLES, layer_activation, layer_arrays, require_model

if TYPE_CHECKING:
    from .._layers import Dense
    from .._mlp import MLP
    from .._typing import Floats

# With "_predict" behind it, it is no keyword; names that begin with "_" belong to the compiler.
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TEST_ROWS = 8


def to_c(model: MLP, path: str | PathLike[str] | None = None, *, name: str = "model") -> str:
    """Write a model as one C99 file with the bits of :meth:`chainrule.MLP.predict`.

    The file is C++17 as well, with the same bits. It needs only the standard C library (``fma``
    and, for layer normalization, ``sqrt`` of ``<math.h>``). It allocates no memory, keeps nothing
    between calls, and any number of threads may call it at once. It declares::

        int NAME_predict(const float *x, float *y); /* double for a model of dtype float64 */

    which computes the outputs `y` of one row `x` and returns 0, or, if an element of `x` is NaN or
    infinite, leaves `y` unchanged and returns 1. It puts two rows of the widest layer on the stack.

    Compile it with any optimization but without contraction and without "fast math":
    ``cc -std=c99 -O2 -ffp-contract=off``, ``c++ -std=c++17 -O2 -ffp-contract=off``. All names in it
    begin with `name`, so files of different names may be linked, or included in one file. Included
    after ``#define CHAINRULE_DECLARATIONS`` it is a header: it declares and defines nothing. With
    ``-DCHAINRULE_TEST`` it is a program that compares eight rows with the outputs of the model at
    export, prints the result, and exits with 0 or 1. ``-mfma`` (or ``-march=native``) makes it
    several times faster, if the processor has that instruction.

    Parameters
    ----------
    model : MLP
        The model; its parameters must be finite.
    path : str or path-like, optional
        Where to write the file; an old file is replaced.
    name : str, default "model"
        Prefix of the names in the file: a C identifier that starts with a letter.

    Returns
    -------
    str
        The text of the file, ASCII.

    Raises
    ------
    TypeError
        When `model` is no MLP or `name` no string.
    RuntimeError
        Before the inputs' statistics of a layer :class:`chainrule.Standardize` are fitted, and when
        another thread fits the model.
    ValueError
        When `name` is no such identifier or a number of the model is not finite.
    OSError
        When the file can't be written.

    Notes
    -----
    The bits are those of the variant that is active when the file is written: all variants with
    FMA give the same; ``baseline`` rounds twice in each step of a product, and so will its file.
    Denormal numbers count as zero, as in the kernels, whatever the mode of the calling thread; that
    takes a comparison for each operation. Where AArch64 flushes a result that rounds up to the
    smallest normal number, the file does as x86-64. A NaN that comes out of an overflow is a NaN in
    both; its bits are not the same. A processor or C library whose ``fma`` rounds twice fails the
    test.

    Examples
    --------
    >>> import chainrule as cr
    >>> source = cr.exchange.to_c(cr.MLP([2, 3, 1]), name="net")
    >>> "int net_predict(const float *x, float *y)" in source
    True
    """
    model = require_model(model)
    with model._lock.read("to_c"):
        text = c_text(model, name)
    if path is not None:
        Path(path).write_text(text, encoding="ascii", newline="\n")
    return text


@dataclass(frozen=True)
class Extras:
    """What is added to a network's file, as text in C; :func:`raw_values` of the command makes it.

    Attributes
    ----------
    comment : str
        Paragraphs at the end of the comment on top.
    declarations : str
        What others may use.
    definitions : str
        Behind the function of the network, which they may call.
    test : str
        Defines a function with the model's prefix and ``test_raw``, which returns how many results
        are wrong; it belongs to the program that compares test vectors.
    """

    comment: str = ""
    declarations: str = ""
    definitions: str = ""
    test: str = ""


def c_text(model: MLP, name: str, extras: Extras | None = None) -> str:
    """Return the text of a file; raises as :func:`to_c` does."""
    extras = extras or Extras()
    check_name(name)
    inputs = _inputs(model)
    arrays = [_prepare(part, i) for i, part in enumerate(layer_arrays(model))]
    activations = [_activation(layer, i, model.dtype) for i, layer in enumerate(model.layers)]
    dtype = model.dtype.name
    fuses_products = runtime.active_variant() != "baseline"
    functions = pieces(
        {"dense", "absolute", "flushed"}
        | ({"subtract", "multiply"} if inputs else set())
        | {f"{layer.norm}_norm" for layer in model.layers if layer.norm}
        | {function for function, _ in activations if function}
        | ({"activate"} if any(function for function, _ in activations) else set()),
        dtype,
        fuses_products,
    )
    definitions = "\n".join(
        [
            _conditions(),
            qualified(functions, name),
            _numbers(inputs, arrays, name, dtype),
            qualified(_predict(model, name, arrays, activations), name),
            extras.definitions,
            _self_test(model, name, extras.test),
        ]
    )
    return "\n".join(
        [
            _opening(model, name, extras.comment),
            _declarations(model, name, extras.declarations, zlib.crc32(definitions.encode())),
            f"#if !defined(CHAINRULE_DECLARATIONS) && !defined({prefix_of(name)}defined)",
            f"#define {prefix_of(name)}defined",
            definitions,
            "#endif",
            "",
        ]
    )


def check_name(name: object) -> None:
    """Raise unless names in C can begin with `name`."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a C identifier, got {type(name).__name__}")
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"name must be a C identifier that starts with a letter, got {name!r}")


def _inputs(model: MLP) -> dict[str, list[float]]:
    """Return the statistics of the inputs, where the model standardizes them."""
    if model.input_statistics is None:
        return {}
    mean, factor = model.input_statistics
    if not (np.isfinite(mean).all() and np.isfinite(factor).all()):
        raise ValueError("model must have finite numbers, got others in input_statistics")
    tiny = np.abs(mean) < np.finfo(mean.dtype).tiny
    mean = np.where(tiny, np.copysign(mean.dtype.type(0), mean), mean)
    return {"input_mean": mean.tolist(), "input_factor": factor.tolist()}


def _prepare(part: dict[str, Floats], layer: int) -> dict[str, list[float]]:
    """Return the numbers of a layer as the file has them: normal ones or zero."""
    result = {}
    for role in ROLES:
        if role not in part:
            continue
        array = part[role]
        if not np.isfinite(array).all():
            raise ValueError(
                f"model must have finite numbers, got others in {role} of layer {layer}"
            )
        tiny = np.abs(array) < np.finfo(array.dtype).tiny
        array = np.where(tiny, np.copysign(array.dtype.type(0), array), array)
        if role == "running_variance":
            # 1 / sqrt(variance + epsilon): three operations that all machines round alike.
            one = array.dtype.type(1)
            epsilon = array.dtype.type(NORM_EPSILON)
            with np.errstate(invalid="ignore", divide="ignore"):
                array = one / np.sqrt(array + epsilon)
            if not np.isfinite(array).all():
                raise ValueError(
                    f"model must have running variances >= 0, got others in layer {layer}"
                )
            role = "inverse_deviation"
        result[role] = array.ravel().tolist()
    return result


def _activation(layer: Dense, index: int, dtype: np.dtype[Any]) -> tuple[str | None, float]:
    """Return the name of the C function, None for the identity, and the parameter."""
    activation = layer_activation(layer)
    if activation.name == "identity":
        return None, 0.0
    parameter = rounded(activation.parameter, dtype)
    if not np.isfinite(parameter):
        raise ValueError(
            f"model must have parameters of activations that fit in {dtype}, "
            f"got {activation} in layer {index}"
        )
    return ACTIVATION_FUNCTIONS.get(activation.name, activation.name), parameter


def _opening(model: MLP, name: str, comment: str) -> str:
    real = TYPES[model.dtype.name]["real"]
    widths = "-".join(str(n) for n in (model.in_features, *(d.out_features for d in model.layers)))
    stack = sum(_buffers(model)) * model.dtype.itemsize
    return f"""\
/* A multilayer perceptron, {widths}, written by chainrule {_core.__version__}.

     int {name}_predict(const {real} *x, {real} *y);

   computes the {model.out_features} outputs y of one row x of {model.in_features} features and \
returns 0. When one of
   x is not finite it returns 1 and leaves y as it is. Any number of threads may call it at once;
   {stack} bytes of buffers are on the stack.

   Gives the bits of chainrule's predict if compiled as C99 or C++17 (or later) without contraction
   and without fast math, at any optimization:

     cc -std=c99 -O2 -ffp-contract=off -c FILE
     c++ -std=c++17 -O2 -ffp-contract=off -x c++ -c FILE
     cc -std=c99 -O2 -ffp-contract=off -DCHAINRULE_TEST FILE -lm && ./a.out

   The last command tests that. All names begin with {name}_. For its declarations alone, include
   this file behind #define CHAINRULE_DECLARATIONS.{comment and chr(10) + chr(10) + comment} */"""


def _declarations(model: MLP, name: str, more: str, checksum: int) -> str:
    """Return what others may use; two files of one name are told apart by their checksums."""
    real = TYPES[model.dtype.name]["real"]
    guard = f"{prefix_of(name)}declared"
    return f"""\
#if defined({guard}) && {guard} != 0x{checksum:x}u
#error "two models have the name {name}: export one of them with another"
#endif
#ifndef {guard}
#define {guard} 0x{checksum:x}u
#define {name}_in_features {model.in_features}
#define {name}_out_features {model.out_features}

#ifdef __cplusplus
extern "C" {{
#endif

int {name}_predict(const {real} *x, {real} *y);
{more}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _conditions() -> str:
    return """\
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__)
#error "fast math changes results; compile without it"
#endif
#if FLT_EVAL_METHOD != 0
#error "intermediate results must have their own precision: on 32-bit x86, -msse2 -mfpmath=sse"
#endif
#if defined(_MSC_VER) && !defined(__clang__)
#pragma fp_contract(off)
#elif !defined(__GNUC__) || defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
"""


def _numbers(
    inputs: dict[str, list[float]], arrays: list[dict[str, list[float]]], name: str, dtype: str
) -> str:
    """Return the definitions of the model's arrays."""
    named = inputs | {
        f"{role}_{i}": values for i, part in enumerate(arrays) for role, values in part.items()
    }
    prefix = prefix_of(name)
    lines = [
        f"static const {prefix}real {prefix}{own}[] = {{\n  {array_text(values, dtype)}}};"
        for own, values in named.items()
    ]
    return "\n".join(lines) + "\n"


def _buffers(model: MLP) -> tuple[int, int]:
    """Return the sizes of two buffers: inputs of layers with an even index, and with an odd one."""
    widths = [model.in_features, *(layer.out_features for layer in model.layers[:-1])]
    return max(widths[::2]), max(widths[1::2], default=0)


def _predict(
    model: MLP,
    name: str,
    arrays: list[dict[str, list[float]]],
    activations: list[tuple[str | None, float]],
) -> str:
    """Return the function that people call."""
    dtype = model.dtype.name
    real = TYPES[dtype]["real"]
    last = len(model.layers) - 1
    even, odd = _buffers(model)
    own = prefix_of(name)
    value = "flushed(x[i])"
    if model.input_layer is not None:
        value = f"multiply(subtract({value}, {own}input_mean[i]), {own}input_factor[i])"
    lines = [
        f"int {name}_predict(const {real} *x, {real} *y) {{",
        f"  real even[{even}]" + (f", odd[{odd}];" if odd else ";"),
        "  size_t i;",
        f"  for (i = 0; i < {name}_in_features; ++i) {{",
        f"    if (!(absolute(x[i]) <= {real_max(dtype)})) return 1;",
        f"    even[i] = {value};",
        "  }",
    ]
    width = model.in_features
    for i, (layer, part, (function, parameter)) in enumerate(
        zip(model.layers, arrays, activations, strict=True)
    ):
        source = ("even", "odd")[i % 2]
        to = "y" if i == last else ("odd", "even")[i % 2]
        n = layer.out_features
        bias = f"{own}bias_{i}" if "bias" in part else "NULL"
        lines.append(f"  dense({source}, {width}, {own}weight_{i}, {bias}, {to}, {n});")
        if layer.norm == "layer":
            lines.append(f"  layer_norm({to}, {n}, {own}scale_{i}, {own}shift_{i});")
        elif layer.norm == "batch":
            lines.append(
                f"  batch_norm({to}, {n}, {own}running_mean_{i}, {own}inverse_deviation_{i}, "
                f"{own}scale_{i}, {own}shift_{i});"
            )
        if function:
            value = number_text(parameter, dtype)
            lines.append(f"  activate({to}, {n}, {function}, {value});")
        width = n
    return "\n".join([*lines, "  return 0;", "}", ""])


def real_max(dtype: str) -> str:
    """Return C's name of the largest finite number."""
    return "FLT_MAX" if dtype == "float32" else "DBL_MAX"


def _self_test(model: MLP, name: str, more: str) -> str:
    """Return the program that compares test vectors: ordinary rows, zeros, and extreme ones."""
    dtype = model.dtype
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(_TEST_ROWS, model.in_features))
    x[1] = 0
    x[2] *= 100
    x[3] *= float(info.tiny)
    x[4] *= float(info.max) ** 0.5
    inputs = x.astype(dtype)
    outputs = model.predict(inputs, precision=model.dtype.name, threads=1)
    bits = np.dtype(f"u{dtype.itemsize}")
    x_text, y_text = (
        ",\n  ".join(
            "{" + ", ".join(f"0x{v:x}u" for v in row) + "}" for row in a.view(bits).tolist()
        )
        for a in (inputs, outputs)
    )
    kind = TYPES[dtype.name]["bits"]
    own = prefix_of(name)
    return f"""\
#ifdef CHAINRULE_TEST
#include <stdio.h>

/* Rows of x and the outputs of the model, as bits. */
static const {kind} {own}test_x[{_TEST_ROWS}][{name}_in_features] = {{
  {x_text}}};
static const {kind} {own}test_y[{_TEST_ROWS}][{name}_out_features] = {{
  {y_text}}};

{more}
int main(void) {{
  int row, wrong = {f"{own}test_raw()" if more else 0};
  size_t j;
  for (row = 0; row < {_TEST_ROWS}; ++row) {{
    {own}real x[{name}_in_features], y[{name}_out_features], want[{name}_out_features];
    memcpy(x, {own}test_x[row], sizeof x);
    memcpy(want, {own}test_y[row], sizeof want);
    if ({name}_predict(x, y) != 0) ++wrong;
    for (j = 0; j < {name}_out_features; ++j) {{
      const int both_nan = y[j] != y[j] && want[j] != want[j];
      if (!both_nan && memcmp(&y[j], &want[j], sizeof y[j]) != 0) ++wrong;
    }}
    x[0] = ({own}real)INFINITY;
    if ({name}_predict(x, y) != 1) ++wrong;
  }}
  printf("%d of %d results differ\\n", wrong, {_TEST_ROWS} * ({name}_out_features + 2));
  return wrong != 0;
}}
#endif
"""
