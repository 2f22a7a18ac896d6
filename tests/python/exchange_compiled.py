"""Compiles exported C files and calls them; for the tests of them."""

import ctypes
import itertools
import shutil
import subprocess

import numpy as np
from bounds import same_bits

import chainrule as cr

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
ALWAYS = ["-std=c99", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion"]
OPTIMIZATIONS = {
    "O0": ["-O0"],
    "O2": ["-O2"],
    "O3": ["-O3"],
    "native": ["-O3", "-march=native"],
}


# A library is loaded once for each path.
NUMBERS = itertools.count()


def build(model, folder, compiler, flags, name="model"):
    """Write, compile as a shared library, and return its predict over many rows."""
    return build_together({name: model}, folder, compiler, flags)[0]


def build_together(models, folder, compiler, flags):
    """Write models by their names, compile them as one library, and return the predict of each."""
    for name, model in models.items():
        cr.exchange.to_c(model, folder / f"{name}.c", name=name)
    source, library = folder / "all.c", folder / f"all_{next(NUMBERS)}.so"
    source.write_text("".join(f'#include "{name}.c"\n' for name in models))
    command = [compiler, *ALWAYS, "-Werror", *flags, "-shared", "-fPIC"]
    subprocess.run([*command, str(source), "-o", str(library), "-lm"], check=True)
    functions = ctypes.CDLL(str(library))
    return [caller(getattr(functions, f"{name}_predict"), models[name]) for name in models]


def caller(function, model):
    """Return a function of many rows."""

    def predict(x):
        x = np.ascontiguousarray(x, model.dtype)
        y = np.empty((len(x), model.out_features), model.dtype)
        at_x, at_y = x.ctypes.data, y.ctypes.data
        for i in range(len(x)):
            status = function(
                ctypes.c_void_p(at_x + i * x.strides[0]), ctypes.c_void_p(at_y + i * y.strides[0])
            )
            assert status == 0
        return y

    return predict


def canonical(y):
    """Return a copy with one NaN: the others' bits are no one's promise."""
    return np.where(np.isnan(y), y.dtype.type(np.nan), y)


def assert_same(predict, model, x):
    got, want = canonical(predict(x)), canonical(model.predict(x))
    differs = np.flatnonzero((got.view(f"u{got.itemsize}") != want.view(f"u{got.itemsize}")).any(1))
    assert same_bits(got, want), (len(differs), x[differs[0]], got[differs[0]], want[differs[0]])


def inputs(rng, n, columns, dtype):
    """Return rows of every size: ordinary ones, denormal ones, ones that overflow, zeros."""
    info = np.finfo(dtype)
    low, high = np.log2(float(info.smallest_subnormal)), np.log2(float(info.max))
    x = rng.normal(size=(n, columns))
    sizes = np.concatenate([np.zeros(n // 2), rng.uniform(low, high - 3, n - n // 2)])
    x *= np.exp2(sizes)[:, None]
    x[rng.random(x.shape) < 0.1] = 0.0
    x[rng.random(x.shape) < 0.05] *= -0.0
    return np.clip(x, -float(info.max), float(info.max)).astype(dtype)
