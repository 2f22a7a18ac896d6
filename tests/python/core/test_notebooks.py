"""Progress and pictures in a notebook, by a real Jupyter kernel."""

import os
import re
import subprocess
import sys

import nbformat
import pytest

pytestmark = pytest.mark.once

CELLS = [
    """
import time
import numpy as np
import chainrule as cr
X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)
""",
    # Long enough for a bar, whose last line stays.
    """
def wait(state):
    time.sleep(0.1)
    if state.epoch == 3:
        print("third epoch")
model = cr.MLP([3, 4, 2])
model.fit(X, y, loss="cross_entropy", epochs=7, validation_data=(X, y), callbacks=[wait])
""",
    "for _ in range(20): model.fit(X, y, loss='cross_entropy', epochs=2)",
    "model.fit(X, y, loss='cross_entropy', epochs=9, progress=True, "
    "callbacks=[lambda state: state.epoch == 2]);",
    "model",
]
# In a process of its own: a client has event loops and warnings of its own.
CLIENT = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
nbformat.write(notebook, sys.argv[1])
"""
WIDGET = "application/vnd.jupyter.widget"
HIDE_WIDGETS = "import sys; sys.modules['ipywidgets'] = None"


def run(folder, cells):
    """Return the outputs of cells that a kernel has run, and the state of the widgets."""
    path = folder / "notebook.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells]), path
    )
    environment = {**os.environ, "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CLIENT, str(path)],
        env=environment,
        check=True,
        timeout=120,
    )
    notebook = nbformat.read(path, 4)
    widgets = notebook.metadata.get("widgets", {}).get(f"{WIDGET}-state+json", {}).get("state", {})
    return [cell.outputs for cell in notebook.cells], widgets


def data(outputs, kind):
    """Return what the outputs have in one MIME type."""
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def streams(outputs):
    return "".join(output.get("text", "") for output in outputs)


def bar(outputs, widgets):
    """Return how far the only bar of a cell is, its style, and the texts beside it."""
    (view,) = data(outputs, f"{WIDGET}-view+json")

    def state(reference):
        return widgets[reference.removeprefix("IPY_MODEL_")]["state"]

    left, middle, right = map(state, state(view["model_id"])["children"])
    texts = (f"{left['value']} {right['value']}").replace("\u2007", " ")
    return middle["value"] / middle["max"], middle["bar_style"], texts


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return run(tmp_path_factory.mktemp("notebook"), CELLS)


@pytest.fixture
def outputs(notebook):
    return notebook[0]


def test_a_long_fit_has_a_bar_and_a_picture(notebook):
    outputs, widgets = notebook
    found = outputs[1]
    share, style, texts = bar(found, widgets)
    assert (share, style) == (1.0, "success")
    assert texts.startswith("100%")
    assert "epoch=7/7, loss=" in texts
    *_, history = data(found, "text/plain")
    assert re.fullmatch(r"<History: 7 epochs, loss .*, ended by epochs>", history)
    (html,) = data(found, "text/html")
    assert html.count("<polyline") == 3
    assert streams(found) == "third epoch\n"


def test_short_fits_have_none(outputs):
    assert outputs[2] == []


def test_an_early_end_is_no_failure(notebook):
    outputs, widgets = notebook
    share, style, texts = bar(outputs[3], widgets)
    assert (share, style) == (1.0, "success")
    assert "epoch=2/9" in texts


def test_a_model_is_a_table(outputs):
    (html,) = data(outputs[4], "text/html")
    assert "<td>relu</td>" in html
    assert data(outputs[4], "text/plain")[0].startswith("MLP([3, Dense(4, activation='relu')")


def test_without_widgets_the_bar_is_text(tmp_path):
    outputs, widgets = run(tmp_path, [HIDE_WIDGETS, *CELLS[:2]])
    assert widgets == {}
    text = streams(outputs[2])
    assert "100%|" in text
    assert "epoch=7/7, loss=" in text
    assert "third epoch\n" in text
