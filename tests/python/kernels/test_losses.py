"""Losses: the kernels against formulas written out in float64, and the dataclasses."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr
from chainrule import _core
from chainrule._loss import listed
from chainrule._losses import LOSSES, as_loss

LEVELS = (0.1, 0.5, 0.9)


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def huber(p, y, delta=1.0):
    d = np.abs(p - y)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2))


def quantile(p, y, levels=(0.5,)):
    tau = np.tile(levels, y.shape[1])
    e = np.repeat(y, len(levels), axis=1) - p
    return np.maximum(tau * e, (tau - 1) * e)


def gaussian_nll(p, y):
    mean, s = np.split(p, 2, axis=1)
    return 0.5 * (s + (y - mean) ** 2 * np.exp(-s))


def cross_entropy(z, y, label_smoothing=0.0, class_weight=None):
    n_classes = z.shape[1]
    target = np.eye(n_classes)[y] if y.ndim == 1 else y
    target = (1 - label_smoothing) * target + label_smoothing / n_classes
    weight = np.ones(n_classes) if class_weight is None else np.asarray(class_weight)
    return -(weight * target * log_softmax(z)).sum(axis=1, keepdims=True)


TERMS = {
    "mse": lambda p, y: (p - y) ** 2,
    "mae": lambda p, y: np.abs(p - y),
    "huber": huber,
    "quantile": quantile,
    "binary_cross_entropy": lambda z, y: np.logaddexp(0, z) - y * z,
    "cross_entropy": cross_entropy,
    "poisson": lambda z, y: np.exp(z) - y * z,
    "gaussian_nll": gaussian_nll,
}


def reduced(name, outputs, targets, weights, reduction, **parameters):
    """Return the loss as the contract has it, in float64."""
    terms = TERMS[name](outputs, targets, **parameters)
    s = np.ones(len(outputs)) if weights is None else weights
    if reduction == "sum":
        return (s * terms.sum(axis=1)).sum()
    rows = s
    class_weight = parameters.get("class_weight")
    if class_weight is not None and targets.ndim == 1:
        rows = s * np.asarray(class_weight)[targets]
    return (s * terms.mean(axis=1)).sum() / rows.sum()


def draw(name, rng, n_rows, n_targets, kind="labels"):
    """Return outputs and targets in float64 that are exact in float32, off the kinks."""
    n_outputs = {"quantile": 3 * n_targets, "gaussian_nll": 2 * n_targets}.get(name, n_targets)
    outputs = rng.integers(-400, 400, (n_rows, n_outputs)) / 128
    targets = rng.integers(-400, 400, (n_rows, n_targets)) / 128 + 1 / 512
    if name == "binary_cross_entropy":
        targets = rng.integers(0, 2, (n_rows, n_targets)).astype(float)
        targets[::3] = 0.25
    elif name == "poisson":
        targets = rng.integers(0, 9, (n_rows, n_targets)).astype(float)
    elif name == "cross_entropy" and kind == "labels":
        targets = rng.integers(0, n_targets, n_rows)
    elif name == "cross_entropy":
        targets = np.full((n_rows, n_targets), 0.5 / (n_targets - 1))
        targets[np.arange(n_rows), rng.integers(0, n_targets, n_rows)] = 0.5
    return outputs, targets


CASES = [
    ("mse", {}, "values"),
    ("mae", {}, "values"),
    ("huber", {}, "values"),
    ("huber", {"delta": 0.3}, "values"),
    ("quantile", {"levels": LEVELS}, "values"),
    ("binary_cross_entropy", {}, "values"),
    ("poisson", {}, "values"),
    ("gaussian_nll", {}, "values"),
    ("cross_entropy", {}, "labels"),
    ("cross_entropy", {}, "probabilities"),
    ("cross_entropy", {"label_smoothing": 0.1}, "labels"),
    ("cross_entropy", {"label_smoothing": 0.1}, "probabilities"),
    ("cross_entropy", {"class_weight": "each", "label_smoothing": 0.2}, "labels"),
    ("cross_entropy", {"class_weight": "each"}, "probabilities"),
]


def test_every_loss_has_a_formula_here():
    assert set(TERMS) == set(_core.losses()) == {name for name, _, _ in CASES}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "parameters", "kind"), CASES)
def test_value_and_gradient(name, parameters, kind, weighted, reduction, variant, dtype, rng):
    for n_rows, n_targets in [(1, 2), (3, 2), (17, 5), (64, 10), (129, 3)]:
        outputs, targets = draw(name, rng, n_rows, n_targets, kind)
        weights = rng.integers(0, 8, n_rows) / 4 + 0.25 if weighted else None
        own = dict(parameters)
        if own.get("class_weight") == "each":
            own["class_weight"] = tuple(rng.integers(1, 9, n_targets) / 4)
        call = getattr(cr.kernels, name)
        value, gradient = call(outputs.astype(dtype), targets, weights, reduction, **own)
        want = reduced(name, outputs, targets, weights, reduction, **own)
        rtol = 1e-6 if dtype == "float32" else 1e-13
        assert value == pytest.approx(want, rel=rtol, abs=rtol)
        assert gradient.dtype == dtype

        h = 2.0**-12
        differences = np.empty_like(outputs)
        for place in np.ndindex(*outputs.shape):
            if place[0] not in (0, n_rows // 2, n_rows - 1):
                differences[place] = gradient[place]
                continue
            nearby = []
            for sign in (1, -1):
                moved = outputs.copy()
                moved[place] += sign * h
                nearby.append(reduced(name, moved, targets, weights, reduction, **own))
            differences[place] = (nearby[0] - nearby[1]) / (2 * h)
        # Truncation is h^2 / 6 of a third derivative, at most e^3.2 here, rounding eps / h.
        np.testing.assert_allclose(gradient, differences, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("name", "parameters", "kind"), CASES)
def test_rows_without_weight_count_for_nothing(name, parameters, kind, reduction, variant, rng):
    own = {k: (0.5, 1.0, 2.0) if v == "each" else v for k, v in parameters.items()}
    outputs, targets = draw(name, rng, 9, 3, kind)
    weights = np.array([1, 0, 2, 0, 0, 1, 0.5, 0, 0])
    call = getattr(cr.kernels, name)
    value, gradient = call(outputs, targets, weights, reduction, **own)
    kept = weights > 0
    want, want_gradient = call(outputs[kept], targets[kept], weights[kept], reduction, **own)
    assert value == pytest.approx(want, rel=1e-14)
    assert (gradient[~kept] == 0).all()
    np.testing.assert_allclose(gradient[kept], want_gradient, rtol=1e-14)
    value, gradient = call(outputs, targets, np.zeros(9), reduction, **own)
    assert value == 0
    assert (gradient == 0).all()


def test_kinks(variant, dtype):
    at = np.zeros((1, 2), dtype)
    assert (cr.kernels.mae(at, at)[1] == 0).all()
    assert (cr.kernels.quantile(at, at, levels=[0.2])[1] == 0).all()
    one = np.ones((1, 1), dtype)
    assert cr.kernels.huber(one, np.zeros((1, 1)))[0] == 0.5
    assert cr.kernels.huber(one, np.zeros((1, 1)))[1] == 1


def test_logits_may_be_large(variant, dtype):
    z = np.array([[1e4, -1e4, 0.0]], dtype)
    value, gradient = cr.kernels.cross_entropy(z, [1])
    assert value == pytest.approx(2e4)
    np.testing.assert_array_equal(gradient, np.array([[1.0, -1.0, 0.0]], dtype))
    value, gradient = cr.kernels.binary_cross_entropy(z, [[0.0, 1.0, 1.0]], reduction="sum")
    assert value == pytest.approx(2e4 + np.log(2))
    np.testing.assert_array_equal(gradient, np.array([[1.0, -1.0, -0.5]], dtype))


def test_out(rng):
    outputs, targets = draw("mse", rng, 4, 3)
    out = np.empty_like(outputs)
    _, gradient = cr.kernels.mse(outputs, targets, out=out)
    assert gradient is out
    assert same_bits(out, cr.kernels.mse(outputs, targets)[1])


def test_one_column_may_be_flat():
    assert cr.kernels.mse([[1.0], [2.0]], [0.0, 0.0])[0] == 2.5


def test_names_and_classes():
    assert list(LOSSES) == list(_core.losses())
    for name, cls in LOSSES.items():
        assert cls().name == name
        assert as_loss(name) == cls()
        assert as_loss(cls()) == cls()
        assert hash(cls()) == hash(cls())
    assert cr.Huber(np.float32(0.5)).delta == 0.5
    assert cr.CrossEntropy(class_weight=np.array([1, 2])) == cr.CrossEntropy(
        class_weight=[1.0, 2.0]
    )
    assert cr.Quantile(levels=np.array([0.25])) != cr.Quantile()


def test_a_new_row_of_the_list_is_enough(rng):
    outputs, targets = draw("huber", rng, 5, 2)
    plain = listed("mse", _core.losses()["mse"])()
    model = cr.MLP([2, 2], dtype="float64")
    assert model.evaluate(targets, outputs, loss=plain) == model.evaluate(
        targets, outputs, loss="mse"
    )
    with_parameter = listed("huber", _core.losses()["huber"])
    assert repr(with_parameter()) == "huber(delta=1.0)"
    assert model.evaluate(targets, outputs, loss=with_parameter(0.25)) == model.evaluate(
        targets, outputs, loss=cr.Huber(0.25)
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cr.Huber(0), ValueError, "delta must be a finite number > 0, got 0"),
        (lambda: cr.Huber("1"), TypeError, "delta must be a finite number > 0, got str '1'"),
        (lambda: cr.Huber(float("nan")), ValueError, "delta must be .* got nan"),
        (lambda: cr.Quantile([]), ValueError, "levels must hold at least one number, got none"),
        (lambda: cr.Quantile(0.5), TypeError, "levels must be a sequence of numbers, got float"),
        (lambda: cr.Quantile([0.5, 1]), ValueError, r"levels\[1\] must be .*> 0 and < 1, got 1"),
        (lambda: cr.CrossEntropy(1.0), ValueError, "label_smoothing must be .*< 1, got 1"),
        (lambda: cr.CrossEntropy(class_weight=[1, -1]), ValueError, r"class_weight\[1\] .* got -1"),
        (lambda: cr.CrossEntropy(class_weight=[0, 0]), ValueError, "got zeros only"),
        (lambda: as_loss("mean_squared"), ValueError, "loss must be one of 'mse', 'mae',"),
        (lambda: as_loss("cross_entrpy"), ValueError, "did you mean 'cross_entropy'"),
        (lambda: as_loss(cr.MSE), TypeError, "loss must be one of .* got type"),
    ],
)
def test_parameters_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: k.mse([1.0], [1.0]), ValueError, "outputs must be a 2-D array"),
        (
            lambda k: k.mse([[1.0, 2.0]], [[1.0]]),
            ValueError,
            r"targets must be an array of shape \(1, 2\), .* got shape \(1, 1\)",
        ),
        (lambda k: k.mse([[1.0]], [[np.nan]]), ValueError, r"got nan at targets\[0, 0\]"),
        (lambda k: k.mse([[1.0]], [1.0], [-1.0]), ValueError, r"got -1 at sample_weight\[0\]"),
        (lambda k: k.mse([[1.0]], [1.0], reduction="avg"), ValueError, "'mean', 'sum', got 'avg'"),
        (lambda k: k.mse([[1.0]], [1.0], delta=1.0), TypeError, "unexpected keyword"),
        (
            lambda k: k.cross_entropy([[1.0, 2.0]], [2]),
            ValueError,
            r"targets must hold labels in \[0, 2\), got 2 at targets\[0\]",
        ),
        (
            lambda k: k.cross_entropy([[1.0, 2.0]], [[0.5, 0.6]]),
            ValueError,
            "class probabilities with the sum 1 in each row, got the sum 1.1 in row 0",
        ),
        (
            lambda k: k.cross_entropy([[1.0, 2.0]], [0], class_weight=[1.0]),
            ValueError,
            "one weight for each of the 2 outputs, got 1",
        ),
        (lambda k: k.gaussian_nll([[1.0]], [1.0]), ValueError, "got 1 outputs"),
        (lambda k: k.quantile([[1.0]], [1.0], levels=[0.1, 0.9]), ValueError, "multiple of 2"),
        (lambda k: k.poisson([[1.0]], [-1.0]), ValueError, "must be >= 0 for poisson, got -1"),
        (
            lambda k: k.binary_cross_entropy([[1.0]], [1.5]),
            ValueError,
            r"must be in \[0, 1\] for binary_cross_entropy, got 1.5 at targets\[0, 0\]",
        ),
    ],
)
def test_kernels_check_their_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(cr.kernels)
