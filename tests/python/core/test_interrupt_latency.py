"""Ctrl-C at random moments of a long fit: how soon it ends, and that the model is of use then.

The one test that asserts a time, for the time is what is promised (docs/architecture.md).
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.once

N_MOMENTS = 100
N_OF_100 = N_MOMENTS * 99 // 100
LIMIT = 0.1  # seconds, for 99 of 100 moments
# Whatever else runs on the machine can hold a process up. Without a poll on the way every round
# would fail, for a fit lasts until it is interrupted, and an epoch half a second.
ROUNDS = 3

# Announces a fit, has it interrupted, says when the exception came and how far the fit was.
CODE = """
import os, signal, sys, time
import numpy as np
import chainrule as cr

threads, n_moments = {THREADS}, {N_MOMENTS}
rng = np.random.default_rng(0)
x, y = rng.normal(size=(20_000, 256)).astype("float32"), rng.integers(0, 10, 20_000)
model = cr.MLP([256, 512, 512, 10], dropout=0.1, norm="batch", seed=1)
settings = dict(loss="cross_entropy", batch_size=256, epochs=10**9, threads=threads)
settings["validation_data"] = x[:4000], y[:4000]
handlers = [signal.getsignal(n) for n in signal.valid_signals()]


def same_handlers(state):
    assert [signal.getsignal(n) for n in signal.valid_signals()] == handlers


for moment in range(n_moments):
    try:
        print("fit", flush=True)
        resume = moment % 2 == 1 and model.history is not None
        model.fit(x, y, callbacks=[same_handlers], resume=resume, **settings)
    except KeyboardInterrupt:
        end = time.monotonic()
    else:
        sys.exit("the fit ended by itself")
    same_handlers(None)
    assert np.isfinite(model.parameters).all() and np.isfinite(model.running_statistics).all()
    assert np.isfinite(model.predict(x[:9], threads=threads)).all()
    print(end, model._trainer.step_count if model._trainer else 0, flush=True)
"""


def latencies(threads, moments):
    """Interrupt a process at the moments, in seconds; return when it stopped, and the last step."""
    code = CODE.format(THREADS=threads, N_MOMENTS=len(moments))
    found = []
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for moment in moments:
                assert process.stdout.readline() == "fit\n", process.stderr.read()
                time.sleep(moment)
                sent = time.monotonic()
                os.kill(process.pid, signal.SIGINT)
                line = process.stdout.readline()
                assert line, process.stderr.read()
                end, step = line.split()
                found.append(float(end) - sent)
            assert process.wait(timeout=60) == 0, process.stderr.read()
        finally:
            process.kill()
    return sorted(found), int(step)


if sys.platform != "win32":  # which has no SIGINT for one process

    @pytest.mark.slow
    @pytest.mark.parametrize("threads", [1, 2, 4])
    def test_ctrl_c_ends_a_fit_within_100_ms(threads):
        random.seed(threads)
        for _ in range(ROUNDS):
            found, step = latencies(threads, [random.uniform(0, 0.1) for _ in range(N_MOMENTS)])
            assert step > 0
            median, late, last = (found[n - 1] for n in (N_MOMENTS // 2, N_OF_100, N_MOMENTS))
            print(f"{threads} threads: {median * 1e3:.1f} ms, {late * 1e3:.1f}, {last * 1e3:.1f}")
            if late <= LIMIT:
                return
        pytest.fail(f"{ROUNDS} rounds of fits that ended too late, the last within {late:.3f} s")
