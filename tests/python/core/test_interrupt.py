"""Ctrl-C in the middle of a fit, in a process of its own."""

import subprocess
import sys

import pytest
from bounds import same_bits
from traces import interrupt_at

import chainrule as cr

pytestmark = pytest.mark.once

CODE = """
import signal
import sys
import threading

import numpy as np
import chainrule as cr

rng = np.random.default_rng(0)
x, y = rng.normal(size=(20_000, 16)), rng.normal(size=20_000)
model = cr.MLP([16, 256, 256, 1], dropout=0.1, norm={NORM}, seed=1)
first = model.parameters.copy()
settings = {SETTINGS}


def interrupt(state):
    # From another thread, while the main one is in the compiled loop without the GIL.
    if state.epoch == 1:
        threading.Timer({DELAY}, signal.raise_signal, (signal.SIGINT,)).start()


try:
    model.fit(x, y, loss="mse", epochs=100_000, callbacks=[interrupt], **settings)
except KeyboardInterrupt:
    pass
else:
    sys.exit("fit ended by itself")

trainer = model._trainer
print("interrupted", trainer.epoch, trainer.step_count, len(model.history.loss), flush=True)
assert np.isfinite(model.parameters).all()
assert not (model.parameters == first).all()
assert model.history.stop_reason is None
assert model.predict(x[:5]).shape == (5, 1)

# The parameters are those of a whole number of steps: as many steps from the start give them again.
again = cr.MLP([16, 256, 256, 1], dropout=0.1, norm={NORM}, seed=1)


class StopAt(cr.Callback):
    every_n_steps = 1

    def on_step_end(self, state):
        return state.step == trainer.step_count


again.fit(x, y, loss="mse", epochs=100_000, callbacks=[StopAt()], **settings)
assert again.parameters.tobytes() == model.parameters.tobytes()
assert again.running_statistics.tobytes() == model.running_statistics.tobytes()

model.fit(x, y, loss="mse", epochs=1, batch_size=settings["batch_size"], resume=True)
assert model.history.stop_reason == "epochs"
assert trainer.step_count > 0
print("usable", flush=True)
"""


def check_interrupt(delay, batch_size, norm, **settings):
    settings = {"batch_size": batch_size, **settings}
    code = CODE
    for name, value in {"DELAY": delay, "NORM": norm, "SETTINGS": settings}.items():
        code = code.replace("{" + name + "}", repr(value))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    interrupted, usable = done.stdout.splitlines()
    assert usable == "usable"
    _, epoch, step, recorded = interrupted.split()
    assert int(epoch) == int(recorded) >= 1
    n_steps = -(-20_000 // batch_size)
    assert int(epoch) * n_steps <= int(step) <= (int(epoch) + 1) * n_steps


@pytest.mark.parametrize(
    ("delay", "settings"),
    [(0, {}), (0.1, {}), (0.3, {"progress": True}), (0, {"threads": 4}), (0.1, {"threads": 4})],
)
def test_ctrl_c_leaves_the_last_whole_step(delay, settings):
    check_interrupt(delay, 64, "batch", **settings)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("delay", [0, 0.1])
def test_ctrl_c_in_the_parts_of_a_step_leaves_the_last_whole_one(delay, threads):
    check_interrupt(delay, 15_000, None, threads=threads)


def test_an_interrupt_at_any_line_is_resumed_to_the_same_bits(rng):
    """Raised at each line that the loop, its state and the history run in a fit of three epochs."""
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    schedule = cr.ReduceOnPlateau(0.05, factor=0.5, patience=1, min_delta=1e9)
    settings = {"validation_fraction": 0.2, "batch_size": 6}

    class EachStep(cr.Callback):
        every_n_steps = 1

    def interrupted_at(line):
        trainer = cr.Trainer(
            cr.MLP([3, 4, 1], norm="batch", seed=1), loss="mse", optimizer=cr.SGD(schedule)
        )
        trainer.fit(x, y, epochs=2, **settings)
        n_lines = interrupt_at(
            line,
            lambda code: code.co_filename.endswith(("_loop.py", "_state.py", "_history.py")),
            lambda: trainer.fit(x, y, epochs=3, callbacks=[EachStep()], **settings),
        )
        return trainer, n_lines

    whole, n_lines = interrupted_at(0)
    assert whole.epoch == 5
    assert n_lines > 300
    for line in range(1, n_lines + 1):
        trainer, _ = interrupted_at(line)
        history = trainer.history
        lists = [values for values in vars(history).values() if isinstance(values, list)]
        assert {len(values) for values in lists} == {trainer.epoch}, line
        if trainer.epoch < 5:
            trainer.fit(x, y, epochs=5 - trainer.epoch, **settings)
        assert trainer.step_count == whole.step_count, line
        assert same_bits(trainer.model.parameters, whole.model.parameters), line
        assert same_bits(trainer.model.running_statistics, whole.model.running_statistics), line
        for name in ("loss", "validation_loss", "learning_rate", "best_epoch"):
            assert getattr(history, name) == getattr(whole.history, name), (line, name)
