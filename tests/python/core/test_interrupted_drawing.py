"""Ctrl-C while numbers are drawn: in a model's constructor, `initialize`, and the kernels.

Python sees a signal when a call ends in any case. So each call is proven to have ended early: what
it writes is unfinished, the model is as it was, or it took less than half of its time.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.once

# Prepares, says that it will call, and looks at what the interrupted call has left. Each call takes
# tenths of a second on the one thread that it has. Another thread counts: the lock is free.
CODE = """
import sys, threading, time
import numpy as np
import chainrule as cr

cr.runtime.set_num_threads(1)
count = 0


def tick():
    global count
    while True:
        time.sleep(0.002)
        count += 1


threading.Thread(target=tick, daemon=True).start()
{PREPARE}
before = count
print("ready", flush=True)
start = time.monotonic()
try:
    {CALL}
except KeyboardInterrupt:
    took = time.monotonic() - start
else:
    sys.exit("the call ended by itself")
print(took, flush=True)
assert count > before, "the other thread did not run"
assert {EARLY}
"""

NETWORK = """
layers = [1300, 1300, 1300]
start = time.monotonic()
cr.MLP(layers, initializer=name)
whole = time.monotonic() - start
"""
PERMUTATION = """
start = time.monotonic()
cr.kernels.permutation(10**7, seed=1)
whole = time.monotonic() - start
"""
MODEL = """
model = cr.MLP([3, cr.Dense(1600, norm="batch"), 1600], initializer=name, seed=4)
model.running_statistics[:] = 7
old = model.parameters.copy()
"""
UNCHANGED = (
    "(model.parameters == old).all() and (model.running_statistics == 7).all() and model.seed == 4"
)
OUT = "out = np.full({shape}, 9, np.float32)"
UNFINISHED = "(out.ravel() == 9).any() and np.isfinite(out).all()"

CALLS = {
    "constructor, orthogonal": (
        "name = 'orthogonal'" + NETWORK,
        "cr.MLP(layers, initializer=name)",
        "took < whole / 2",
    ),
    "initialize, orthogonal": ("name = 'orthogonal'" + MODEL, "model.initialize(5)", UNCHANGED),
    "initialize, normal": (
        "name = 'he_normal'" + MODEL.replace("1600", "3000"),
        "model.initialize(5)",
        UNCHANGED,
    ),
    "kernel, orthogonal": (
        OUT.format(shape="(2000, 2000)"),
        "cr.kernels.initialize('orthogonal', out.shape, seed=1, out=out)",
        UNFINISHED,
    ),
    "kernel, uniform": (
        OUT.format(shape="(8000, 8000)"),
        "cr.kernels.initialize('he_uniform', out.shape, seed=1, out=out)",
        UNFINISHED,
    ),
    "dropout_mask": (
        OUT.format(shape="6 * 10**7"),
        "cr.kernels.dropout_mask(out.shape, 0.5, seed=1, out=out)",
        UNFINISHED,
    ),
    "permutation": (
        PERMUTATION,
        "cr.kernels.permutation(10**7, seed=1)",
        "took < whole / 2",
    ),
}


def interrupted(code, moment):
    """Run the code, interrupt its call after a moment, and return how long the call took."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            time.sleep(moment)
            os.kill(process.pid, signal.SIGINT)
            took = process.stdout.readline()
            assert process.wait(timeout=60) == 0, process.stderr.read()
            return float(took)
        finally:
            process.kill()


if sys.platform != "win32":  # which has no SIGINT for one process

    @pytest.mark.parametrize("name", CALLS)
    def test_ctrl_c_ends_a_draw(name):
        prepare, call, early = CALLS[name]
        code = CODE.replace("{PREPARE}", prepare).replace("{CALL}", call)
        took = interrupted(code.replace("{EARLY}", early), 0.05)
        print(f"{name}: {took * 1e3 - 50:.0f} ms")
