"""Forks before the first training, after some, and during another thread's: no hang, same bits."""

import os
import subprocess
import sys

import pytest
from thread_cases import train

pytestmark = pytest.mark.once

NAMES = ["gelu-dropout-layer-adamw", "sigmoid-bf16x3-adam"]

# In a process of its own: newer Pythons warn of a fork beside threads, and a child that hangs must
# not hang the tests.
FORK = """
import os, signal, sys, threading, time, traceback, warnings
import numpy as np
import chainrule as cr
from thread_cases import train

warnings.simplefilter("ignore", DeprecationWarning)
n_forks, name = {N_FORKS}, {NAME!r}


def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, f"child ended with status {{status}}"
            return
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("a child hangs")


def check(threads):
    digest = train(name, "float32", threads)
    assert digest == expected, f"child got {{digest}}, not {{expected}}"

"""

BEFORE = """
expected = {EXPECTED!r}  # so that this process has no use of its own
for i in range(n_forks):
    in_child(lambda: check((4, 2, 3, 7, 16, None)[i % 6]))
in_child(lambda: in_child(lambda: check(2)))
check(4)
print("done")
"""

AFTER = """
expected = {EXPECTED!r}
check(4)
for i in range(n_forks):
    in_child(lambda: check((2, 3, 4, 7, 16, None)[i % 6]))
in_child(lambda: (check(3), in_child(lambda: check(2)), check(4)))
check(3)
print("done")
"""

DURING = """
expected = train(name, "float32", 1)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(2000, 64)).astype("float32"), rng.normal(size=2000)
model, other = cr.MLP([64, 256, 256, 1], norm="layer", seed=1), cr.MLP([64, 256, 256, 1])
outputs = other.predict(x, threads=1)
stop, busy = threading.Event(), threading.Event()


def until_stopped(state):
    busy.set()
    return stop.is_set()


settings = {{"loss": "mse", "batch_size": 256, "threads": 2}}
thread = threading.Thread(
    target=model.fit, args=(x, y), kwargs=dict(settings, epochs=10**6, callbacks=[until_stopped])
)
thread.start()
assert busy.wait(30)


def work():
    check(4)
    assert other.predict(x, threads=3).tobytes() == outputs.tobytes()
    assert model.predict(x).shape == (2000, 1)
    try:
        model.fit(x, y, **settings)  # to this process it is in training for ever
    except RuntimeError as error:
        assert "another thread is training this model" in str(error)
    else:
        raise AssertionError("fit of a model in training")


try:
    for i in range(n_forks):
        time.sleep(rng.uniform(0, 0.01))
        in_child(work)
finally:
    stop.set()
    thread.join(30)
assert not thread.is_alive()
# The parent's training knows nothing of the forks.
again = cr.MLP([64, 256, 256, 1], norm="layer", seed=1)
again.fit(x, y, epochs=len(model.history.loss), **settings)
assert again.parameters.tobytes() == model.parameters.tobytes()
print("done")
"""


def run(code, n_forks, name):
    expected = train(name, "float32", 1)
    path = os.pathsep.join(filter(None, [*sys.path, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", (FORK + code).format(N_FORKS=n_forks, NAME=name, EXPECTED=expected)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60 + 11 * n_forks,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n", done.stderr


if hasattr(os, "fork"):

    @pytest.mark.parametrize("code", [BEFORE, AFTER, DURING], ids=["before", "after", "during"])
    @pytest.mark.parametrize("n_forks", [10, pytest.param(170, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("name", NAMES)
    def test_forks(code, n_forks, name):
        run(code, n_forks, name)
