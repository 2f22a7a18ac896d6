"""The progress bar."""

import io
import sys

import pytest
from bounds import same_bits
from test_callbacks import new_model, problem


class Terminal(io.StringIO):
    def isatty(self):
        return True


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
    quiet.fit(x, y, **settings)
    assert same_bits(model.parameters, quiet.parameters)
    text = err.getvalue()
    assert bool(text) == shown
    if shown:
        assert "100%" in text
        assert "epoch=3/3" in text
        assert f"loss={model.history.loss[-1]:.4g}" in text
        assert f"score={model.history.validation_score[-1]:.4f}" in text


def test_progress_needs_tqdm(monkeypatch, rng):
    x, y = problem(rng)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = new_model()
    before = model.parameters.copy()
    with pytest.raises(ImportError, match=r'needs tqdm.*pip install "tqdm>=[0-9.]+"$'):
        model.fit(x, y, loss="mse", progress=True)
    assert same_bits(model.parameters, before)
    monkeypatch.setattr(sys, "stderr", Terminal())
    model.fit(x, y, loss="mse", epochs=1, progress=None)
