"""The progress bar: who sees one, what it shows, and what stands beside it."""

import io
import os
import subprocess
import sys
import threading

import pytest
from bounds import same_bits
from test_callbacks import new_model, problem

import chainrule as cr
from chainrule import _bar

pytestmark = pytest.mark.once


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_once(monkeypatch):
    """Let every bar appear, however short the fit is."""
    monkeypatch.setattr(_bar, "_PATIENCE_SECONDS", -1.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("progress", "stream", "shown"),
    [
        (True, io.StringIO, True),
        (True, Terminal, True),
        (None, Terminal, True),
        (None, io.StringIO, False),
        (False, Terminal, False),
    ],
)
def test_progress(progress, stream, shown, monkeypatch, rng):
    x, y = problem(rng)
    err = stream()
    monkeypatch.setattr(sys, "stderr", err)
    model, quiet = new_model(), new_model()
    settings = {"loss": "mse", "epochs": 3, "batch_size": 5, "validation_data": (x, y)}
    model.fit(x, y, progress=progress, **settings)
    quiet.fit(x, y, progress=False, **settings)
    assert same_bits(model.parameters, quiet.parameters)
    text = err.getvalue()
    assert bool(text) == shown
    if shown:
        assert "100%" in text
        assert "epoch=3/3" in text
        assert f"loss={model.history.loss[-1]:.4g}" in text
        assert f"score={model.history.validation_score[-1]:.4f}" in text


@pytest.mark.usefixtures("at_once")
def test_an_early_end_is_an_end(monkeypatch, rng):
    x, y = problem(rng)
    monkeypatch.setattr(sys, "stderr", Terminal())
    new_model().fit(x, y, loss="mse", epochs=10, callbacks=[lambda state: state.epoch == 2])
    text = sys.stderr.getvalue()
    assert "epoch=2/10" in text
    assert text.rstrip().split("\r")[-1].startswith("100%")


@pytest.mark.usefixtures("at_once")
def test_an_error_leaves_the_bar_where_it_is(monkeypatch, rng):
    def fail(state):
        if state.epoch == 2:
            raise ArithmeticError

    x, y = problem(rng)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ArithmeticError):
        new_model().fit(x, y, loss="mse", epochs=10, callbacks=[fail])
    assert sys.stderr.getvalue().split("\r")[-1].startswith(" 20%")


def test_short_fits_leave_no_trace(monkeypatch, rng):
    x, y = problem(rng)
    monkeypatch.setattr(sys, "stderr", Terminal())
    for _ in range(3):
        new_model().fit(x, y, loss="mse", epochs=2)
    assert sys.stderr.getvalue() == ""


@pytest.mark.usefixtures("at_once")
def test_another_thread_shows_none_unless_asked(monkeypatch, rng):
    x, y = problem(rng)
    monkeypatch.setattr(sys, "stderr", Terminal())
    seen = []
    for progress in (None, True):
        settings = {"loss": "mse", "epochs": 2, "progress": progress}
        thread = threading.Thread(target=new_model().fit, args=(x, y), kwargs=settings)
        thread.start()
        thread.join()
        seen.append("100%" in sys.stderr.getvalue())
    assert seen == [False, True]


@pytest.mark.usefixtures("at_once")
def test_bars_have_no_thread_that_watches_them(monkeypatch, rng):
    from tqdm import tqdm

    x, y = problem(rng)
    monkeypatch.setattr(sys, "stderr", Terminal())
    before = tqdm.monitor_interval, tqdm.monitor
    threads = []
    settings = {"loss": "mse", "epochs": 2, "progress": True}
    new_model().fit(x, y, callbacks=[lambda _: threads.append(threading.enumerate())], **settings)
    assert not any("TMonitor" in type(thread).__name__ for thread in threads[-1])
    assert (tqdm.monitor_interval, tqdm.monitor) == before


@pytest.mark.usefixtures("at_once")
def test_what_callbacks_print_has_lines_of_its_own(monkeypatch, rng):
    def say(state):
        print(f"epoch {state.epoch} is over")
        print("and this is an error", file=sys.stderr)

    class Every3(cr.Callback):
        every_n_steps = 3

        def on_step_end(self, state):
            print(f"step {state.step} is over")

    x, y = problem(rng)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    new_model().fit(x, y, loss="mse", epochs=3, batch_size=5, callbacks=[say, Every3()])
    assert (sys.stdout, sys.stderr) == (screen, screen)
    # A line of a terminal shows what was last written over it.
    lines = [line.split("\r")[-1] for line in screen.getvalue().split("\n")]
    assert [line for line in lines if line.startswith("epoch")] == [
        f"epoch {k} is over" for k in (1, 2, 3)
    ]
    assert lines.count("and this is an error") == 3
    assert lines.count("step 3 is over") == 1
    assert lines[-2].startswith("100%")


@pytest.mark.usefixtures("at_once")
def test_a_callback_may_replace_the_streams(monkeypatch, rng):
    x, y = problem(rng)
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    new_model().fit(x, y, loss="mse", epochs=2, callbacks=[lambda _: setattr(sys, "stdout", mine)])
    assert sys.stdout is mine


@pytest.mark.usefixtures("at_once")
def test_a_bar_below_another_does_not_stay(monkeypatch, rng):
    from tqdm import tqdm

    x, y = problem(rng)
    monkeypatch.setattr(sys, "stderr", Terminal())
    for _ in tqdm(range(2), file=io.StringIO()):
        new_model().fit(x, y, loss="mse", epochs=2)
    assert "epoch=2/2" not in sys.stderr.getvalue().split("\r")[-1]
    new_model().fit(x, y, loss="mse", epochs=2)
    assert "epoch=2/2" in sys.stderr.getvalue().split("\r")[-1]


def test_progress_needs_tqdm(monkeypatch, rng):
    x, y = problem(rng)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = new_model()
    before = model.parameters.copy()
    with pytest.raises(ImportError, match=r'needs tqdm.*pip install "tqdm>=[0-9.]+"$'):
        model.fit(x, y, loss="mse", progress=True)
    assert same_bits(model.parameters, before)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_bar, "_PATIENCE_SECONDS", -1.0)
    model.fit(x, y, loss="mse", epochs=1)
    assert sys.stderr.getvalue() == ""


# Fits that are long enough, each in another place of one program.
PROGRAM = """
import sys, time
import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
import chainrule as cr
from chainrule.estimators import MLPClassifier

X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)

def fit(name):
    def wait(state):
        time.sleep(0.1)
    cr.MLP([3, 4, 2]).fit(X, y, loss="cross_entropy", epochs=7, callbacks=[wait])
    return name

def say(what):
    print("@" + what, file=sys.stderr, flush=True)

say("here")
fit("here")
say("worker")
Parallel(n_jobs=2)(delayed(fit)(name) for name in "ab")
say("estimator")
search = GridSearchCV(MLPClassifier(max_iter=300), {"alpha": [0.0, 1.0]}, cv=2)
search.fit(X, y)
MLPClassifier(max_iter=3000, n_iter_no_change=3000).fit(X, y).partial_fit(X, y)
"""

if os.name == "posix":

    def test_on_a_terminal_those_see_a_bar_who_wait_for_it(tmp_path):
        import fcntl
        import pty
        import struct
        import termios

        script = tmp_path / "program.py"
        script.write_text(PROGRAM)
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-W", "ignore", str(script)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # Linux: the other side is closed
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        assert process.wait(timeout=60) == 0
        parts = dict(part.split("\n", 1) for part in shown.decode().split("@")[1:])
        parts = {name.strip(): text for name, text in parts.items()}
        assert "100%" in parts["here"]
        assert "epoch=7/7" in parts["here"]
        assert parts["worker"].strip() == ""
        assert parts["estimator"].strip() == ""
