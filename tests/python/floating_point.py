"""The floating-point state of the calling thread: to read it, to set it, and what NumPy sees of it.

The registers are read and written by C's fegetenv and fesetenv. Where their layout is not known
there is the default state alone, and what NumPy sees.
"""

import contextlib
import ctypes
import ctypes.util
import platform
import sys

import numpy as np

# Where the control register is in C's fenv_t, in words of 32 bits.
_PLACES = {
    ("linux", "x86_64"): 7,
    ("linux", "aarch64"): 0,
    ("darwin", "x86_64"): 1,
    ("darwin", "arm64"): 2,
}
_PLACE = _PLACES.get((sys.platform, platform.machine()))
# Bits of it: MXCSR on x86-64, which also has sticky flags, and FPCR on AArch64.
_IS_X86 = platform.machine() == "x86_64"
_FLAGS = 0x3F if _IS_X86 else 0
_FLIPPED = {
    "default": 0,
    "upward": 0x4000 if _IS_X86 else 0x400000,
    "downward": 0x2000 if _IS_X86 else 0x800000,
    "toward_zero": 0x6000 if _IS_X86 else 0xC00000,
    "flushing": 0x8040 if _IS_X86 else 0x1000000,
}
if _IS_X86:  # on AArch64 processors need not have traps
    _FLIPPED["trapping"] = 0x0680  # invalid operation, division by zero, overflow
STATES = list(_FLIPPED) if _PLACE is not None else ["default"]

if _PLACE is not None:
    _libm = ctypes.CDLL(ctypes.util.find_library("m"))


def _environment():
    environment = (ctypes.c_uint32 * 64)()
    if _PLACE is not None:
        assert _libm.fegetenv(environment) == 0
    return environment


def control():
    """Return the control bits: rounding, flushing, traps."""
    return _environment()[_PLACE or 0] & ~_FLAGS


@contextlib.contextmanager
def state(name):
    """Be in a state of that name; then in the default one."""
    before, within = _environment(), _environment()
    if _FLIPPED[name]:
        within[_PLACE] ^= _FLIPPED[name]
        assert _libm.fesetenv(within) == 0
    try:
        yield
    finally:
        if _PLACE is not None:
            assert _libm.fesetenv(before) == 0


def seen_by_numpy():
    """Return how NumPy rounds, and whether it keeps denormals: of scalars and of vectors."""
    seen = []
    for dtype in (np.float32, np.float64):
        numbers = np.finfo(dtype)
        for size in (1, 67):
            one, tiny = np.ones(size, dtype), np.full(size, numbers.tiny)
            denormal = np.full(size, numbers.smallest_subnormal)
            seen += [
                (tiny * dtype(0.5)).tobytes(),
                (denormal * dtype(2**20)).tobytes(),
                (denormal + denormal).tobytes(),
                (one + numbers.eps / dtype(8)).tobytes(),
                (one - numbers.eps / dtype(8)).tobytes(),
                (-one - numbers.eps / dtype(8)).tobytes(),
            ]
    return seen
