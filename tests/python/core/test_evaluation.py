"""Losses and scores over data, block by block."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

import chainrule as cr
from chainrule import _evaluation


def identity_model(n, dtype="float64"):
    """Return a model whose outputs are its inputs."""
    model = cr.MLP([n, n], dtype=dtype)
    model.parameters[:] = 0
    model.weights[0][:] = np.eye(n)
    return model


def draw(loss, rng, n_rows=200):
    outputs = rng.normal(size=(n_rows, 4))
    y = {
        "cross_entropy": lambda: rng.integers(0, 4, n_rows),
        "binary_cross_entropy": lambda: rng.integers(0, 2, (n_rows, 4)),
        "poisson": lambda: rng.poisson(2.0, (n_rows, 4)),
        "gaussian_nll": lambda: outputs[:, :2] + rng.normal(size=(n_rows, 2)),
        "quantile": lambda: rng.normal(size=(n_rows, 4)),
    }.get(loss, lambda: outputs + rng.normal(size=(n_rows, 4)))()
    return outputs, y


SCORES = {
    "cross_entropy": lambda p, y, w: accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "binary_cross_entropy": lambda p, y, w: np.average(((p > 0) == y).mean(axis=1), weights=w),
    "poisson": lambda p, y, w: r2_score(y, np.exp(p), sample_weight=w),
    "gaussian_nll": lambda p, y, w: r2_score(y, p[:, :2], sample_weight=w),
    "mse": lambda p, y, w: r2_score(y, p, sample_weight=w),
    "mae": lambda p, y, w: r2_score(y, p, sample_weight=w),
    "huber": lambda p, y, w: r2_score(y, p, sample_weight=w),
    "quantile": None,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
@pytest.mark.parametrize("loss", SCORES)
def test_loss_and_score(loss, batch_size, weighted, variant, rng):
    outputs, y = draw(loss, rng)
    weights = rng.integers(0, 4, 200) / 2 if weighted else None
    model = identity_model(4)
    got = model.evaluate(outputs, y, loss=loss, sample_weight=weights, batch_size=batch_size)
    want, _ = getattr(cr.kernels, loss)(outputs, y, weights)
    assert got.loss == pytest.approx(want, rel=1e-12)
    if SCORES[loss] is None:
        assert got.score is None
    else:
        assert type(got.score) is float
        assert got.score == pytest.approx(SCORES[loss](outputs, y, weights), rel=1e-12)


def test_class_weights_and_blocks(rng):
    outputs, y = draw("cross_entropy", rng)
    loss = cr.CrossEntropy(0.1, class_weight=[1, 0, 3, 0.5])
    whole, _ = cr.kernels.cross_entropy(
        outputs, y, label_smoothing=0.1, class_weight=[1, 0, 3, 0.5]
    )
    for batch_size in (1, 3, 64):
        got = identity_model(4).evaluate(outputs, y, loss=loss, batch_size=batch_size)
        assert got.loss == pytest.approx(whole, rel=1e-12)


def test_probabilities_count_as_their_class(rng):
    outputs, labels = draw("cross_entropy", rng)
    probabilities = np.full((200, 4), 0.1)
    probabilities[np.arange(200), labels] = 0.7
    model = identity_model(4)
    by_label = model.evaluate(outputs, labels, loss="cross_entropy")
    by_probability = model.evaluate(outputs, probabilities, loss="cross_entropy")
    assert by_probability.score == by_label.score


def test_scores_at_the_ends(rng):
    model = identity_model(1)
    x = np.array([[1.0], [2.0], [3.0]])
    assert model.evaluate(x, x, loss="mse") == (0.0, 1.0)
    assert model.evaluate(x, np.full(3, 2.0), loss="mse").score == 0.0
    assert model.evaluate(x[:1], x[:1], loss="mse").score == 1.0
    assert model.evaluate(x[:1], [5.0], loss="mse").score == 0.0
    # A first value far off must not cancel what comes after.
    far = np.concatenate([[1e8], rng.normal(size=5000)])
    p = far + 0.1 * rng.normal(size=far.size)
    weights = np.concatenate([[0.0], np.ones(5000)])
    got = model.evaluate(p[:, None], far, loss="mse", sample_weight=weights, batch_size=10)
    assert got.score == pytest.approx(r2_score(far[1:], p[1:]), rel=1e-9)


def test_rates_may_overflow():
    model = identity_model(1)
    got = model.evaluate([[800.0], [1.0]], [1.0, 2.0], loss="poisson")
    assert got.loss == np.inf
    assert got.score == -np.inf


def test_penalties_do_not_count(rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    model = cr.MLP([3, 1], dtype="float64")
    model.fit(x, y, loss="mse", l2=10.0, epochs=1)
    assert model.evaluate(x, y, loss="mse").loss == pytest.approx(
        ((model.predict(x)[:, 0] - y) ** 2).mean()
    )


def test_memory_stays_small(monkeypatch, rng):
    sizes = []
    model = cr.MLP([3, 2])
    predict = model._network.predict

    def watched(x, threads):
        sizes.append(len(x))
        return predict(x, threads)

    monkeypatch.setattr(model, "_network", SimpleNamespace(predict=watched, is_ready=True))
    monkeypatch.setattr(_evaluation, "_BLOCK_OUTPUTS", 1000)
    model.evaluate(rng.normal(size=(1701, 3)), np.zeros((1701, 2)), loss="mse")
    assert sizes == [500, 500, 500, 201]


def test_arguments_are_checked():
    model = cr.MLP([3, 2])
    x, y = np.ones((4, 3)), np.ones((4, 2))
    for arguments, message in (
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"loss": "mes"}, "did you mean 'mse'"),
        ({"sample_weight": np.zeros(4)}, "at least one positive weight"),
    ):
        with pytest.raises(ValueError, match=message):
            model.evaluate(x, y, **{"loss": "mse", **arguments})
