"""What a training leaves behind."""

import math
import pickle
import sys

import numpy as np
import pytest

import chainrule as cr


def fit(rng, **settings):
    x = rng.normal(size=(50, 3))
    y = np.sin(x.sum(axis=1))
    model = cr.MLP([3, 8, 1])
    return model, model.fit(x, y, loss="mse", **{"epochs": 4, **settings})


def test_one_item_for_each_epoch(rng):
    model, history = fit(rng, validation_fraction=0.2, batch_size=8)
    for name in (
        *("loss", "validation_loss", "validation_score", "learning_rate"),
        *("seconds", "steps_per_second"),
    ):
        values = getattr(history, name)
        assert len(values) == 4, name
        assert all(type(v) is float and math.isfinite(v) for v in values), name
    assert history is model.history
    assert history.stop_reason == "epochs"
    assert history.best_epoch == 1 + int(np.argmin(history.validation_loss))
    assert all(s > 0 for s in history.seconds)
    # 40 rows in batches of 8
    np.testing.assert_allclose(np.multiply(history.seconds, history.steps_per_second), 5)
    assert history.learning_rate == [1e-3] * 4


def test_without_validation(rng):
    _, history = fit(rng)
    assert history.validation_loss == []
    assert history.validation_score == []
    assert history.best_epoch == 1 + int(np.argmin(history.loss))


def test_gaps_are_nan(rng):
    x = rng.normal(size=(20, 3))
    y = x.sum(axis=1)
    model = cr.MLP([3, 1])
    model.fit(x, y, loss="mse", epochs=2)
    model.fit(x, y, loss="mse", epochs=2, resume=True, validation_data=(x, y))
    history = model.fit(x, y, loss="mse", epochs=1, resume=True)
    for values in (history.validation_loss, history.validation_score):
        assert [math.isnan(v) for v in values] == [True, True, False, False, True]
    assert len(history.loss) == 5
    assert history.best_epoch == 4


def test_a_loss_without_score(rng):
    x = rng.normal(size=(20, 3))
    model = cr.MLP([3, 1])
    history = model.fit(x, x[:, 0], loss="quantile", epochs=2, validation_data=(x, x[:, 0]))
    assert len(history.validation_loss) == 2
    assert history.validation_score == []


def test_the_loss_is_that_of_the_steps(variant, rng):
    x = rng.normal(size=(30, 3))
    y = rng.normal(size=30)
    model = cr.MLP([3, 1], dtype="float64")
    trainer = cr.Trainer(model.copy(), loss="mse", optimizer=cr.SGD(0.1), l2=0.5)
    losses = [trainer.step(x[i : i + 20], y[i : i + 20]) for i in (0, 20)]
    history = model.fit(
        x, y, loss="mse", optimizer=cr.SGD(0.1), l2=0.5, batch_size=20, shuffle=False, epochs=1
    )
    # Batches of 20 and of 10 rows: a mean over rows, with the penalty.
    assert history.loss[0] == pytest.approx((2 * losses[0] + losses[1]) / 3, rel=1e-14)


def test_it_can_be_pickled_and_compared(rng):
    _, history = fit(rng)
    assert pickle.loads(pickle.dumps(history)) == history


@pytest.mark.once
def test_plot(rng):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, history = fit(rng, validation_fraction=0.2)
    ax = history.plot()
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"training", "validation", "best epoch"}
    assert lines["training"].get_xdata().tolist() == [1, 2, 3, 4]
    assert lines["training"].get_ydata().tolist() == history.loss
    assert lines["validation"].get_ydata().tolist() == history.validation_loss
    assert ax.get_xlabel() == "epoch"
    _, other = plt.subplots()
    assert history.plot(other) is other
    # Scores have an axis of their own, on the right.
    (right,) = {*other.figure.axes} - {other}
    (score,) = right.get_lines()
    assert score.get_ydata().tolist() == history.validation_score
    assert right.get_ylabel() == "score"
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["training", "validation", "best epoch", "validation score"]
    _, without = fit(rng)
    assert len(without.plot().figure.axes) == 1
    assert cr.History().plot().get_xlabel() == "epoch"
    # A line of one epoch would be nothing at all.
    short = cr.History(loss=[2.0], validation_loss=[3.0], validation_score=[0.5])
    figure = short.plot().figure
    drawn = [line for axes in figure.axes for line in axes.get_lines()]
    assert [line.get_marker() for line in drawn] == ["o", "o", "o"]
    plt.close("all")


def test_plot_needs_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'needs matplotlib.*pip install "matplotlib>=[0-9.]+"$'):
        cr.History().plot()
