"""What a notebook shows of the last value of a cell: short text, HTML that needs nothing else."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule._repr import network_code

LONGEST = 300
N_EPOCHS = 1000


def a_history(n_epochs, seed=0):
    """Return a history with everything in it."""
    rng = np.random.default_rng(seed)
    history = cr.History(best_epoch=n_epochs // 2 or None, stop_reason="early_stopping")
    for field in ("loss", "validation_loss", "validation_score", "learning_rate", "seconds"):
        getattr(history, field).extend(rng.uniform(0.1, 1.0, n_epochs).tolist())
    return history


def things():
    history = a_history(N_EPOCHS)
    options = {"norm": "batch", "dropout": 0.123456, "initializer": "lecun_uniform"}
    dense = [cr.Dense(1000, cr.Activation("elu", alpha=0.123), **options)] * 50
    deep = cr.MLP([1000, cr.Standardize(), *[7] * 50, 1], seed=2**63)
    trainer = cr.Trainer(deep, loss=cr.MSE(), optimizer=cr.AdamW(cr.OneCycle(1e-2)))
    seen = []
    small = cr.MLP([1, 1])
    X = np.zeros((4, 1))
    small.fit(X, X, loss="mse", epochs=2, validation_data=(X, X), callbacks=[seen.append])
    yield from (history, deep, trainer, seen[-1], small, small.evaluate(X, X, loss="mse"))
    yield cr.MLP([3, *dense[:4], 1])
    yield from (dense[0], cr.Standardize(), cr.Checkpoint("a.checkpoint"), cr.EarlyStopping())
    yield cr.CrossEntropy(class_weight=np.arange(1.0, 1001.0))
    yield cr.Quantile(levels=np.linspace(0.01, 0.99, 99))
    schedule = cr.OneCycle(1e-2)
    for kind in (cr.SGD, cr.RMSprop, cr.Adagrad, cr.Adam, cr.AdamW, cr.NAdam, cr.Lion):
        yield kind(schedule)
    yield from (cr.LBFGS(), schedule, cr.Cosine(1e-2), cr.ReduceOnPlateau(1e-2), cr.Constant(0.1))
    yield from (cr.StepDecay(0.1, every=2, factor=0.5), cr.ExponentialDecay(0.1))
    yield from (cr.InverseScaling(0.1), cr.MSE(), cr.MAE(), cr.Huber(), cr.Poisson())
    yield from (cr.BinaryCrossEntropy(), cr.GaussianNLL(), cr.Activation("elu", alpha=0.5))


@pytest.mark.parametrize("thing", [*things()], ids=lambda thing: type(thing).__name__)
def test_reprs_are_short(thing):
    assert len(repr(thing)) <= LONGEST
    assert "\n" not in repr(thing)
    assert " object at 0x" not in repr(thing)


def test_every_public_class_was_shown():
    public = (getattr(cr, name) for name in cr.__all__)
    classes = {thing for thing in public if isinstance(thing, type)}
    bases = {cr.Callback, cr.Loss, cr.Optimizer, cr.Schedule}
    classes -= {*bases, *(cls for cls in classes if issubclass(cls, Exception))}
    assert classes == {type(thing) for thing in things()}


def test_the_repr_of_a_history_says_how_it_ended():
    assert repr(cr.History()) == "<History: 0 epochs>"
    history = cr.History(loss=[2.0, 0.123456], best_epoch=2, stop_reason="epochs")
    text = "<History: 2 epochs, loss 0.1235, best epoch 2, ended by epochs>"
    assert repr(history) == text
    history.validation_loss, history.validation_score = [1.0, 1.5], [0.25, 0.5]
    assert "loss 0.1235, validation loss 1.5, validation score 0.5, best" in repr(history)


def test_a_long_network_shows_both_ends_and_an_exported_one_all():
    model = cr.MLP([3, *range(1, 51), 9])
    text = repr(model)
    assert text.startswith("MLP([3, Dense(1, activation='relu'), ")
    assert re.search(r", \.\.\. \d+ more \.\.\., ", text)
    assert "Dense(9)], dtype='float32', seed=0)" in text
    again = eval(network_code(model), {"MLP": cr.MLP, "Dense": cr.Dense})
    assert again.layers == model.layers


# --- HTML ----------------------------------------------------------------------------------------


def parsed(thing):
    """Return the HTML of a thing as a tree: it is well-formed, and asks for nothing else."""
    text = thing._repr_html_()
    assert len(text) < 20_000
    for outside in ("<script", "<link", "<img", "url(", "href", "@import", "nan", "inf<"):
        assert outside not in text.replace("http://www.w3.org/2000/svg", "")
    return ElementTree.fromstring(text)


def points(tree):
    """Return the points of each curve of the picture."""
    lines = tree.iter("{http://www.w3.org/2000/svg}polyline")
    return [
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in lines
    ]


def table(tree):
    """Return the cells of the first table."""
    rows = next(tree.iter("table")).iter("tr")
    return [[cell.text or "" for cell in row] for row in rows]


@pytest.mark.parametrize("n_epochs", [2, 3, 150, N_EPOCHS])
def test_the_curves_of_a_history(n_epochs):
    history = a_history(n_epochs)
    tree = parsed(history)
    curves = points(tree)
    assert len(curves) == 3
    for curve in curves:
        assert 2 <= len(curve) <= min(n_epochs, 200)
        across = [x for x, _ in curve]
        assert across == sorted(across)
        assert (across[0], across[-1]) == (84.0, 480.0)
        assert all(26 <= y <= 190 for _, y in curve)
    if n_epochs <= 200:
        # Both losses share an axis: the highest of all is at its top, and less is lower.
        losses = np.array(history.loss), np.array(history.validation_loss)
        heights = [np.array([y for _, y in curve]) for curve in curves[:2]]
        top = max(map(np.max, losses))
        bottom = min(map(np.min, losses))
        for values, y in zip(losses, heights, strict=True):
            np.testing.assert_allclose(y, 190 - (values - bottom) / (top - bottom) * 164, atol=0.06)
    cells = table(tree)
    assert cells[0] == ["epoch", "loss", "validation loss", "validation score", "learning rate"]
    assert [row[0] for row in cells[1:]] == [f"best: {n_epochs // 2:,}", f"last: {n_epochs:,}"]
    assert cells[-1][1] == f"{history.loss[-1]:.4g}"


def test_losses_over_orders_of_magnitude_are_drawn_by_logarithms():
    history = cr.History(loss=[1000.0, 10.0, 0.1])
    (curve,) = points(parsed(history))
    assert [y for _, y in curve] == [26.0, 108.0, 190.0]
    assert "log scale" in history._repr_html_()
    assert "log scale" not in cr.History(loss=[3.0, 2.0, 1.0])._repr_html_()


@pytest.mark.parametrize(
    ("loss", "n_pieces"),
    [
        ([], 0),
        ([1.0], 0),
        ([1.0, 1.0], 1),
        ([0.0, 0.0, 0.0], 1),
        ([1.0, 2.0, math.nan, 2.0, 1.0], 2),
        ([math.nan, math.nan], 0),
        ([math.inf, 1.0, 0.5], 1),
        ([1.7e308, -1.7e308], 1),
        ([5e-324, 1.0, 2.0], 1),
    ],
)
def test_odd_histories_have_a_picture(loss, n_pieces):
    history = cr.History(loss=loss, learning_rate=[0.1] * len(loss))
    tree = ElementTree.fromstring(history._repr_html_())
    curves = points(tree)
    assert len(curves) == n_pieces
    assert all(math.isfinite(y) and 25.9 <= y <= 190.1 for curve in curves for _, y in curve)


def test_the_table_of_a_network():
    layers = [cr.Standardize(), cr.Dense(8, "relu", norm="batch", dropout=0.25), 1]
    model = cr.MLP([5, *layers])
    assert table(parsed(model)) == [
        ["", "layer", "activation", "norm", "dropout", "shape", "parameters"],
        ["1", "Standardize", "", "", "", "5", "0"],
        ["2", "Dense", "relu", "batch", "0.25", "5 → 8", "64"],
        ["3", "Dense", "identity", "", "", "8 → 1", "9"],
    ]
    assert "73 parameters in float32" in model._repr_html_()
    plain = table(parsed(cr.MLP([5, cr.Dense(1, bias=False)], precision="bf16x3")))
    assert plain[0] == ["", "layer", "activation", "shape", "parameters"]
    assert plain[1][1] == "Dense, no bias"
    long = table(parsed(cr.MLP([1, *[2] * 50])))
    assert len(long) == 22
    assert long[11][1] == "30 more"
    assert long[-1][0] == "50"


def test_labels_of_axes_are_within_the_picture():
    """The longest that a number of four digits has; 7 is the width of a digit in 12 px Verdana."""
    small = [-1.2345e-105, -1.1115e-105, -1.2342e-105]
    tree = parsed(cr.History(loss=small, validation_loss=small, validation_score=small))
    width = float(next(tree.iter("{http://www.w3.org/2000/svg}svg")).attrib["width"])
    labels = [
        (float(text.attrib["x"]), text.attrib["text-anchor"], text.text)
        for text in tree.iter("{http://www.w3.org/2000/svg}text")
        if "e-105" in (text.text or "")
    ]
    assert len(labels) == 6
    for x, anchor, text in labels:
        assert (x if anchor == "end" else width - x) >= 7 * len(text)


def test_the_page_of_a_trainer():
    trainer = cr.Trainer(cr.MLP([1, 4, 1]), loss="mse", optimizer="sgd")
    assert points(parsed(trainer)) == []
    X = np.linspace(0.0, 1.0, 8).reshape(-1, 1)
    trainer.fit(X, X, epochs=1)
    assert "1 epoch, 1 step<" in trainer._repr_html_()
    assert repr(trainer).endswith("1 epoch, 1 step>")
    trainer.fit(X, X, epochs=2)
    assert len(points(parsed(trainer))) == 1
    assert "3 epochs, 3 steps" in trainer._repr_html_()
    assert repr(trainer) == "<Trainer of MLP 1-4-1: MSE, SGD, 3 epochs, 3 steps>"


def test_texts_are_escaped():
    history = cr.History(loss=[1.0, 0.5], stop_reason="<b>&")
    assert "&lt;b&gt;&amp;" in history._repr_html_()
    parsed(history)
