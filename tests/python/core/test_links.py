"""What outputs mean: the link of each loss, and its predictions against SciPy's and NumPy's."""

import numpy as np
import pytest
from bounds import same_bits
from scipy import special

import chainrule as cr
from chainrule import _core
from chainrule._links import LINKS, Identity, chosen_columns, link_of_fit
from chainrule._loss import listed
from chainrule._losses import LOSSES
from chainrule.exchange import _onnx_estimator

LEVELS = (0.1, 0.5, 0.9)
LOSS_LINKS = [
    (cr.MSE(), "identity", 1),
    (cr.MAE(), "identity", 1),
    (cr.Huber(0.5), "identity", 1),
    (cr.Quantile(), "quantiles", 1),
    (cr.Quantile(LEVELS), "quantiles", 3),
    (cr.BinaryCrossEntropy(), "sigmoid", 1),
    (cr.CrossEntropy(), "softmax", 1),
    (cr.CrossEntropy(label_smoothing=0.1, class_weight=(1, 2, 3, 4, 5, 6)), "softmax", 1),
    (cr.Poisson(), "exp", 1),
    (cr.GaussianNLL(), "gaussian", 2),
]
# A link, and its predictions for 6 outputs in float64 by others' functions.
PREDICTIONS = [
    (cr.MSE().link, lambda z: z),
    (cr.Poisson().link, np.exp),
    (cr.CrossEntropy().link, lambda z: special.softmax(z, axis=1)),
    (cr.BinaryCrossEntropy().link, special.expit),
    (cr.GaussianNLL().link, lambda z: z[:, :3]),
    (cr.Quantile().link, lambda z: z),
    (cr.Quantile(LEVELS).link, lambda z: np.stack([z[:, :3], z[:, 3:]], axis=1)),
]
IDS = [repr(link) for link, _ in PREDICTIONS]
LOG_PREDICTIONS = [
    (cr.CrossEntropy().link, lambda z: special.log_softmax(z, axis=1)),
    (cr.BinaryCrossEntropy().link, special.log_expit),
]


def ulps(got, want):
    """Return by how many ULPs of its dtype `got` is off, at most."""
    spacing = np.spacing(np.abs(want).astype(got.dtype)).astype(np.float64)
    return (np.abs(got.astype(np.float64) - want) / spacing).max()


def draw(rng, dtype, n_rows=129):
    return rng.uniform(-9, 9, (n_rows, 6)).astype(dtype)


def test_every_loss_and_every_link_is_here():
    assert {loss.name for loss, _, _ in LOSS_LINKS} == set(LOSSES)
    assert {link.name for link, _ in PREDICTIONS} == set(LINKS) == set(_core.links())


@pytest.mark.parametrize(("loss", "name", "n_outputs"), LOSS_LINKS, ids=str)
def test_the_link_of_a_loss(loss, name, n_outputs):
    link = loss.link
    assert (link.name, link.outputs_per_target) == (name, n_outputs)
    assert link == loss.link
    assert hash(link) == hash(loss.link)
    assert loss.n_targets(6 * n_outputs) == 6
    # The compiled module counts columns of targets likewise, and takes no others.
    outputs = np.zeros((2, 6 * n_outputs))
    targets = np.array([0, 1], np.int32) if name == "softmax" else np.ones((2, 6))
    _core.loss(loss.spec(), outputs, targets, None, "mean")
    if name != "softmax":
        with pytest.raises(ValueError, match="targets must"):
            _core.loss(loss.spec(), outputs, np.ones((2, 7)), None, "mean")


@pytest.mark.parametrize(("link", "formula"), PREDICTIONS, ids=IDS)
def test_predictions(link, formula, variant, dtype, rng):
    outputs = draw(rng, dtype)
    want = formula(outputs.astype(np.float64))
    got = link.predictions(outputs)
    assert got.dtype == dtype
    assert got.shape == want.shape == (len(outputs), *link.shape(6))
    # An exponential or a sigmoid is right to 2 ULPs. Of softmax, the shift by up to 18 costs 9 eps,
    # the exponential 1, the sum of such terms 12.5, the quotient 0.5: 23 eps are 46 ULPs at most.
    bound = 46 if link.name == "softmax" else 2
    assert ulps(got, want) <= bound


@pytest.mark.parametrize(("link", "formula"), LOG_PREDICTIONS, ids=["softmax", "sigmoid"])
def test_logarithms_of_probabilities(link, formula, dtype, rng):
    outputs = np.vstack([draw(rng, dtype), 100 * draw(rng, dtype)])
    want = formula(outputs.astype(np.float64))
    got = link.log_predictions(outputs)
    assert got.dtype == dtype
    assert np.isfinite(got).all()
    # The shift and the sum of exponentials round once each, at the size of the outputs.
    eps = np.finfo(dtype).eps
    assert (np.abs(got - want) <= 4 * eps * (1 + np.abs(outputs).max(axis=1, keepdims=True))).all()


def test_deviations(dtype, rng):
    outputs = draw(rng, dtype)
    got = cr.GaussianNLL().link.deviations(outputs)
    assert got.dtype == dtype
    assert ulps(got, np.exp(outputs[:, 3:].astype(np.float64) / 2)) <= 2


@pytest.mark.parametrize(("link", "formula"), PREDICTIONS, ids=IDS)
def test_gradients_are_those_of_predictions(link, formula, rng):
    outputs = draw(rng, np.float64, 7)
    # A column of the log variances, or of some level, is a prediction as it stands.
    flat = (lambda z: z) if link.name in ("gaussian", "quantiles") else formula
    for column in range(6):
        got = link.gradient(outputs, column)
        for j in range(6):
            step = np.zeros(6)
            step[j] = 1e-5
            difference = (flat(outputs + step) - flat(outputs - step))[:, column] / 2e-5
            scale = np.abs(flat(outputs)).max()
            np.testing.assert_allclose(got[:, j], difference, rtol=1e-6, atol=1e-8 * scale)


@pytest.mark.parametrize("link", [link for link, _ in LOG_PREDICTIONS], ids=["softmax", "sigmoid"])
def test_the_gradient_without_a_column_is_of_the_most_probable_class(link, rng):
    outputs = draw(rng, np.float64, 17)
    best = outputs.argmax(axis=1)
    assert (chosen_columns(outputs, None) == (np.arange(6) == best[:, np.newaxis])).all()
    got = link.gradient(outputs, None)
    for row, column in enumerate(best):
        assert same_bits(got[row], link.gradient(outputs, column)[row])


@pytest.mark.parametrize("loss", [cr.MSE(), cr.GaussianNLL(), cr.Quantile(LEVELS)], ids=str)
def test_units(loss, rng):
    link = loss.link
    means, deviations = rng.normal(size=2), rng.uniform(0.5, 4, 2)
    outputs = rng.normal(size=(5, 2 * link.outputs_per_target))
    factors, offsets = link.in_units(means, deviations)
    whole = outputs * factors + offsets

    def of_targets(values):
        return values if values.ndim == 2 else values.transpose(0, 2, 1)

    got, standardized = of_targets(link.predictions(whole)), of_targets(link.predictions(outputs))
    np.testing.assert_allclose(got, standardized * deviations + means, rtol=1e-14)
    if link.has_deviations:
        want = link.deviations(outputs) * deviations
        np.testing.assert_allclose(link.deviations(whole), want, rtol=1e-14)


def test_who_has_units_and_classes():
    assert {name for name, link in LINKS.items() if link.has_units} == {
        *("identity", "gaussian", "quantiles")
    }
    assert {name for name, link in LINKS.items() if link.has_deviations} == {"gaussian"}
    assert {name for name, link in LINKS.items() if link.is_of_classes} == {"softmax", "sigmoid"}


@pytest.mark.parametrize(
    ("link", "want"),
    [
        (cr.MAE().link, ["target 0", "target 1"]),
        (cr.Poisson().link, ["logarithm of target 0", "logarithm of target 1"]),
        (cr.GaussianNLL().link, ["mean of target 0", "logarithm of the variance of target 0"]),
        (cr.Quantile([0.1, 0.9]).link, ["quantile 0.1 of target 0", "quantile 0.9 of target 0"]),
        (cr.CrossEntropy().link, ["logit of class 0", "logit of class 1"]),
        (cr.BinaryCrossEntropy().link, ["logit of class 0", "logit of class 1"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_texts(link, want):
    assert link.texts(2) == want


def test_what_outputs_may_be(rng):
    link = cr.Poisson().link
    want = link.predictions(np.array([[0.0], [1.0]]))
    assert same_bits(link.predictions([[0], [1]]), want)
    assert same_bits(link.predictions(np.array([[0], [1]], np.int8)), want)
    outputs = draw(rng, np.float32)
    assert same_bits(link.predictions(outputs[::2, ::-1]), link.predictions(outputs)[::2, ::-1])
    assert link.predictions(np.empty((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(
    ("loss", "outputs", "error", "message"),
    [
        (cr.MSE(), [0.0], ValueError, r"outputs must be a 2-D array, got shape \(1,\)"),
        (cr.MSE(), [["a"]], TypeError, "outputs must be"),
        (cr.Quantile(LEVELS), np.ones((2, 4)), ValueError, r"multiple of 3 .* got shape \(2, 4\)"),
        (cr.GaussianNLL(), np.ones((2, 3)), ValueError, r"multiple of 2 columns for Gaussian\(\)"),
    ],
)
def test_wrong_outputs(loss, outputs, error, message):
    with pytest.raises(error, match=message):
        loss.link.predictions(outputs)


def test_no_deviations():
    with pytest.raises(ValueError, match=r"outputs of Exp\(\) predict no standard deviations"):
        cr.Poisson().link.deviations(np.ones((2, 2)))


def test_the_link_of_a_fit():
    levels = cr.Quantile(LEVELS).link
    assert link_of_fit(levels, "identity") == levels
    assert link_of_fit(cr.Poisson().link, "identity") == Identity()
    for activation, name in [("exp", "exp"), ("softmax", "softmax"), ("logistic", "sigmoid")]:
        assert link_of_fit(None, activation).name == name
        assert link_of_fit(levels, activation).name == name
    assert link_of_fit(None, "relu") == Identity()


def test_every_link_of_values_has_onnx_nodes():
    of_values = {name for name, link in LINKS.items() if not link.is_of_classes}
    assert set(_onnx_estimator._VALUES) == of_values


# --- a new row -----------------------------------------------------------------------------------

# Losses without values of their own, by the class that their row alone makes.
ROWS = [name for name, cls in LOSSES.items() if _core.links()[cls().link.name] is not None]


def test_rows_are_of_every_link_but_quantiles():
    assert {LOSSES[name]().link.name for name in ROWS} == set(LINKS) - {"quantiles"}


@pytest.mark.parametrize("name", ROWS)
def test_the_row_of_a_loss_is_enough(name, rng):
    by_row, written = listed(name, _core.losses()[name])(), LOSSES[name]()
    assert by_row.link == written.link
    model = cr.MLP([4, 8, 2 * written.link.outputs_per_target], dtype="float64")
    X = rng.normal(size=(50, 4))
    is_of_labels = _core.losses()[name]["targets"] == "labels"
    y = rng.integers(0, 2, 50) if is_of_labels else rng.integers(0, 2, (50, 2)).astype(float)
    assert model.evaluate(X, y, loss=by_row) == model.evaluate(X, y, loss=written)
    assert by_row.terms(4) == written.terms(4)
    got, want = model.copy(), model.copy()
    for trained, loss in ((got, by_row), (want, written)):
        trained.fit(X, y, loss=loss, epochs=3)
    assert same_bits(got.parameters, want.parameters)
