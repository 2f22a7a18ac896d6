"""Processes: forks before, after and during trainings, spawned processes, joblib's; same bits."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from thread_cases import NETWORKS, train

import chainrule as cr

NAME = "gelu-dropout-layer-adamw"

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

AFTER = """
expected = {EXPECTED!r}  # so that the first fork comes before any thread
in_child(lambda: check(4))
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


def run(code, n_forks):
    expected = train(NAME, "float32", 1)
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", (FORK + code).format(N_FORKS=n_forks, NAME=NAME, EXPECTED=expected)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60 + 11 * n_forks,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n", done.stderr


if hasattr(os, "fork"):

    @pytest.mark.parametrize("code", [AFTER, DURING], ids=["after", "during"])
    @pytest.mark.parametrize("n_forks", [10, pytest.param(250, marks=pytest.mark.slow)])
    def test_forks(code, n_forks):
        run(code, n_forks)


def test_a_spawned_process_has_the_same_bits():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for threads in (1, 3):
            got = pool.submit(train, NAME, "float32", threads).result(timeout=120)
            assert got == train(NAME, "float32", 1)


def start_methods():
    """Yield the ways to have a function run, by name; a process each, but for the first."""
    yield "here", lambda *arguments, **settings: train(*arguments, **settings)
    from joblib.externals.loky import get_reusable_executor

    executors = {"loky": get_reusable_executor(max_workers=1)}
    for method in ("fork", "spawn"):
        if method in multiprocessing.get_all_start_methods():
            executors[method] = ProcessPoolExecutor(1, multiprocessing.get_context(method))
    for method, executor in executors.items():
        with executor:
            yield method, lambda *a, e=executor, **s: e.submit(train, *a, **s).result(timeout=120)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_500_trainings_have_the_same_bits():
    # Threads x variants x alignments x start methods; every network in both precisions.
    variants = [name for name in cr.runtime.variants() if name != "baseline"] or ["baseline"]
    cases = [(name, dtype) for name in NETWORKS for dtype in ("float32", "float64")]
    counts = (1, 2, 3, 4, 7, 8, 16)
    digests = {}
    n_trainings = 0
    for method, run_training in start_methods():
        for case, (name, dtype) in enumerate(cases):
            # The other processes take every second count.
            for i, threads in enumerate(counts if method == "here" else counts[case % 2 :: 2]):
                for j, variant in enumerate(variants):
                    offset = (i + 3 * j) % 8
                    got = run_training(name, dtype, threads, offset=offset, variant=variant)
                    want = digests.setdefault((name, dtype), got)
                    assert got == want, (name, dtype, method, threads, variant, offset)
                    n_trainings += 1
    assert n_trainings >= 250 * len(variants)
    assert len(set(digests.values())) == len(cases)
