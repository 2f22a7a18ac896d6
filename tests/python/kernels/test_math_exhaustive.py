"""The elementary functions over all 2^32 float32 inputs, against NumPy and SciPy in double.

Slow: about a minute for a function. Its result is kept in tests/golden/exhaustive.json with a
digest of all that it depends on: sources, flags, compiler, variant. While the digest is the same, a
64th of the inputs is enough; else all are swept, and the new result is to be kept:

    CHAINRULE_KEEP_SWEEP=1 pytest -m slow tests/python/kernels/test_math_exhaustive.py

An input below the smallest normal number counts as zero and so does a result, as flush-to-zero has
it.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import chainrule as cr

# Largest error allowed, in units in the last place of the float32 result.
BOUNDS = {
    "exp": 1.0,
    "expm1": 2.0,
    "log": 1.0,
    "log1p": 2.0,
    "tanh": 1.0,
    "sigmoid": 1.0,
    "erf": 2.0,
    "softplus": 2.0,
}
REFERENCES = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "softplus": lambda x: np.logaddexp(0.0, x),
}
CHUNK = 2**17  # inputs at a time: arrays that stay in a second-level cache
TINY = float(np.finfo(np.float32).tiny)
OVERFLOW = 2.0**128 * (1 - 2.0**-25)  # from here on float32 rounds to infinity


ROOT = Path(__file__).parents[3]
RECORD = ROOT / "tests" / "golden" / "exhaustive.json"
SOURCES = [
    *("simd/*.hpp", "base/one_nan.hpp", "kernels/math_functions.inc"),
    *("kernels/loops-inl.hpp", "kernels/vector-inl.hpp"),
]


def digest():
    """Return what stands for all that the results of a sweep depend on."""
    parts = [Path(__file__).read_bytes()]
    for pattern in SOURCES:
        found = sorted((ROOT / "cpp" / "chainrule").glob(pattern))
        assert found, pattern
        parts += [path.read_bytes() for path in found]
    flags = re.findall(r".*-[mf][\w-]+.*", (ROOT / "cpp" / "CMakeLists.txt").read_text("utf-8"))
    build = cr.runtime.build_config()
    variant = cr.runtime.variants()[0].replace("amx", "avx512")  # whose functions amx has
    parts += [repr((flags, build["compiler"], build["flags"], variant)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def inputs(chunk):
    """Chunk `chunk` of all float32 numbers, in the order of their bits."""
    return np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.uint32).view(np.float32)


def worst_error(name, x, result):
    """Return the largest error in ULPs and its input; NaN and infinities must be right."""
    argument = x.astype(np.float64)
    argument[np.abs(argument) < TINY] *= 0.0  # keeps the sign
    exact = REFERENCES[name](argument)
    exact[np.abs(exact) >= OVERFLOW] = np.copysign(np.inf, exact[np.abs(exact) >= OVERFLOW])
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(result[~finite], exact[~finite].astype(np.float32))
    # The unit of [2^e, 2^(e+1)) is 2^(e-23), and 2^e is a double without sign and mantissa.
    unit = (exact.view(np.uint64) & np.uint64(0x7FF0000000000000)).view(np.float64) * 2.0**-23
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(result - exact) / unit
    flushed = (np.abs(exact) < TINY) & (np.abs(result) <= TINY)
    error[flushed | ~finite] = 0.0
    worst = int(np.argmax(error))
    return float(error[worst]), float(x[worst])


def test_every_function_has_a_bound():
    assert set(BOUNDS) == set(REFERENCES) == set(cr._core.math_functions())


@pytest.mark.parametrize("name", BOUNDS)
def test_some_inputs_of_every_kind(name, variant):
    # Every 1021st chunk: all exponents and both signs, in a second.
    function = getattr(cr.kernels, name)
    with np.errstate(all="ignore"):
        for chunk in range(0, 2**32 // CHUNK, 1021):
            x = inputs(chunk)
            error, worst = worst_error(name, x, function(x))
            assert error <= BOUNDS[name], f"{name}({worst!r}) is off by {error} ULP"


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_all_inputs(name):
    function = getattr(cr.kernels, name)
    others = cr.runtime.variants()[1:]
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    step = 64 if record.get(name, {}).get("digest") == digest() else 1
    worst = (0.0, 0.0)
    with np.errstate(all="ignore"):
        for chunk in range(0, 2**32 // CHUNK, step):
            x = inputs(chunk)
            result = function(x)
            worst = max(worst, worst_error(name, x, result))
            for other in others if chunk % 61 == 0 else ():
                with cr.runtime.use_variant(other):
                    bits = function(x).view(np.uint32)
                same = bits == result.view(np.uint32)
                assert same.all(), f"{name} on {other} differs at {x[~same][0]!r}"
    print(f"{name}: worst error {worst[0]:.4f} ULP, at {worst[1]!r}, one input in {step}")
    assert worst[0] <= BOUNDS[name]
    if step == 1 and os.environ.get("CHAINRULE_KEEP_SWEEP"):
        record = json.loads(RECORD.read_text(encoding="utf-8"))  # another process may have written
        record[name] = {"digest": digest(), "worst_ulp": round(worst[0], 4), "at": worst[1]}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    elif step > 1:
        assert worst[0] <= record[name]["worst_ulp"] + 5e-5  # of more inputs, rounded
