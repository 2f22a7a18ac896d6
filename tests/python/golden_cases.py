"""The cases of tests/golden/golden.npz, and when a result counts as equal to PyTorch's."""

import json
from pathlib import Path

import numpy as np
from golden_rounding import Arithmetic

PATH = Path(__file__).parents[1] / "golden" / "golden.npz"
COMMON = "common"  # the name under which a group's cases share fields
ENTRIES = dict(np.load(PATH))  # keys are group/case/field


def names():
    """Return group/case of every case."""
    cases = {key.rsplit("/", 1)[0] for key in ENTRIES if not key.startswith("meta/")}
    return sorted(case for case in cases if not case.endswith(f"/{COMMON}"))


class Case:
    """The fields of one case; remembers which ones have been read."""

    def __init__(self, name):
        self.group, self.name = name.split("/")
        self._fields = {}
        for part in (COMMON, self.name):
            prefix = f"{self.group}/{part}/"
            fields = {k.removeprefix(prefix): v for k, v in ENTRIES.items() if k.startswith(prefix)}
            self._fields.update(fields)
        self.unread = set(self._fields)
        self.config = json.loads(str(self["config"]))

    def __getitem__(self, field):
        self.unread.discard(field)
        return self._fields[field]

    def __contains__(self, field):
        return field in self._fields


def assert_close(got, want, bound, what):
    """Compare a result with PyTorch's float64 one.

    bound is a Rounded of the same result in the dtype of `got`. float32: within its error, all of
    it rounding of ours. float64: within 1e-12 of the value; where terms cancel, which no relative
    error survives, within twice the error (PyTorch rounds as well).
    """
    # The bound is for the right formula: the same values, by a third way of computing them.
    double = Arithmetic(np.float64).unit
    slack = 2 * bound.error * double / bound.arithmetic.unit + 1e-300
    assert (np.abs(bound.value - want) <= np.maximum(1e-12 * np.abs(want), slack)).all(), what
    assert_within(got, want, bound.error, bound.arithmetic.unit == double, what)


def assert_within(got, want, error, is_double, what):
    got = np.asarray(got, np.float64)
    assert got.shape == want.shape, what
    assert np.isfinite(error).all(), what
    allowed = np.maximum(1e-12 * np.abs(want), 2 * error) if is_double else error
    off = np.abs(got - want)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(off <= allowed, 0.0, off / allowed)
    assert (off <= allowed).all(), (
        f"{what}: {np.sum(ratio > 0)} of {ratio.size} off, at worst {np.max(ratio):.3g} times what "
        f"is allowed, at {np.unravel_index(np.argmax(ratio), ratio.shape)}"
    )
