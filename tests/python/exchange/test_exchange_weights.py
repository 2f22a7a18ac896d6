"""Models from scikit-learn's estimators and from plain arrays."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from bounds import same_bits
from exchange_cases import assert_within, bound_of_predict
from golden_formulas import ACTIVATIONS
from scipy import special
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import chainrule as cr
from chainrule import estimators

NAMES = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def fit(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def check(model, estimator, X, want):
    """Check outputs against scikit-learn's, each within its own bound of the exact values."""
    assert model.dtype == estimator.coefs_[0].dtype
    bound = bound_of_predict(model, X, ACTIVATIONS)
    assert_within(model.predict(X), bound, "chainrule")
    assert_within(want, bound, "scikit-learn")
    for ours, theirs in zip(model.weights, estimator.coefs_, strict=True):
        assert same_bits(np.ascontiguousarray(ours), np.ascontiguousarray(theirs))
    for ours, theirs in zip(model.biases, estimator.intercepts_, strict=True):
        assert same_bits(ours, theirs)
    assert {layer.activation.name for layer in model.layers[:-1]} == {NAMES[estimator.activation]}
    assert model.layers[-1].activation.name == "identity"


@pytest.mark.parametrize("activation", NAMES)
def test_regressor(activation, dtype):
    data = datasets.load_diabetes()
    X = data.data[:100].astype(dtype)
    first = data.target[:100] / 100
    for y in (first, np.stack([first, X[:, 2]], axis=1)):
        estimator = MLPRegressor(
            hidden_layer_sizes=(12, 7), activation=activation, max_iter=20, random_state=0
        )
        fit(estimator, X, y.astype(dtype))
        model = cr.exchange.from_sklearn(estimator)
        check(model, estimator, X, estimator.predict(X).reshape(len(X), -1))


@pytest.mark.parametrize("activation", NAMES)
def test_classifier(activation, dtype):
    X, y = datasets.load_iris(return_X_y=True)
    X = X.astype(dtype)
    several = np.stack([y > 0, y > 1], axis=1).astype(int)
    tasks = {"softmax": (X, y), "logistic": (X[y < 2], y[y < 2]), "several": (X, several)}
    for task, (inputs, targets) in tasks.items():
        estimator = MLPClassifier(
            hidden_layer_sizes=(9,), activation=activation, max_iter=20, random_state=0
        )
        fit(estimator, inputs, targets)
        model = cr.exchange.from_sklearn(estimator)
        logits = model.predict(inputs).astype(np.float64)
        if task == "softmax":
            assert estimator.out_activation_ == "softmax"
            probabilities = special.softmax(logits, axis=1)
        else:
            assert estimator.out_activation_ == "logistic"
            positive = special.expit(logits)
            probabilities = np.hstack([1 - positive, positive]) if task == "logistic" else positive
        want = estimator.predict_proba(inputs)
        # Logits of size L are good to some L u, which is what probabilities then are good to.
        tolerance = 16 * np.abs(logits).max() * np.finfo(dtype).eps
        np.testing.assert_allclose(probabilities, want, rtol=0, atol=tolerance)
        bound = bound_of_predict(model, inputs, ACTIVATIONS)
        assert_within(model.predict(inputs), bound)
        assert len(estimator.classes_) == want.shape[1]


def test_the_model_trains_on(rng):
    X, y = datasets.load_iris(return_X_y=True)
    estimator = fit(MLPClassifier(hidden_layer_sizes=(9,), max_iter=5, random_state=0), X, y)
    model = cr.exchange.from_sklearn(estimator)
    before = estimator.coefs_[0].copy()
    history = model.fit(X, y, loss="cross_entropy", epochs=20)
    assert history.loss[-1] < history.loss[0]
    np.testing.assert_array_equal(estimator.coefs_[0], before)  # a copy was taken


def test_scikit_learn_is_not_needed():
    code = (
        "import sys, numpy as np, chainrule as cr\n"
        "class Estimator:\n"
        "    activation, coefs_, intercepts_ = 'relu', [np.ones((2, 3))], [np.zeros(3)]\n"
        "print(cr.exchange.from_sklearn(Estimator()).predict([[1.0, 2.0]])[0].tolist())\n"
        "heavy = {'sklearn', 'torch', 'onnx', 'skl2onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[3.0, 3.0, 3.0]\n"


def test_the_package_alone_does_not_import_the_exchange():
    code = (
        "import sys, chainrule\n"
        "assert 'chainrule.exchange' not in sys.modules\n"
        "chainrule.exchange.to_c\n"
        "assert 'chainrule.exchange' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- arrays --------------------------------------------------------------------------------------


def test_arrays(rng):
    weights = [rng.normal(size=(4, 6)), rng.normal(size=(6, 2))]
    biases = [rng.normal(size=6), None]
    model = cr.exchange.from_weights(
        weights, biases, activation="tanh", output_activation=cr.Activation("elu", alpha=0.5)
    )
    assert model.dtype == np.float64
    assert [layer.bias for layer in model.layers] == [True, False]
    assert model.layers[0].activation == cr.Activation("tanh")
    assert model.layers[1].activation == cr.Activation("elu", alpha=0.5)
    for ours, given in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(ours, given)
    np.testing.assert_array_equal(model.biases[0], biases[0])


@pytest.mark.parametrize(
    ("kind", "want"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_element_types(kind, want, rng):
    weight = rng.normal(size=(3, 2)).astype(kind)
    model = cr.exchange.from_weights([weight])
    assert model.dtype == want
    np.testing.assert_array_equal(model.weights[0], weight.astype(want))
    mixed = cr.exchange.from_weights([weight, np.ones((2, 1), np.float64)])
    assert mixed.dtype == np.float64


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ([], None, "weights must hold at least one array, got none"),
        ([np.ones(3)], None, r"weights\[0\] must be .* of shape \(n, n\), got shape \(3,\)"),
        ([np.ones((2, 3)), np.ones((2, 1))], None, r"weights\[1\] must be .*\(3, n\), got .*2, 1"),
        ([np.ones((2, 3), int)], None, r"weights\[0\] must be .*got shape \(2, 3\) and dtype int"),
        ([np.ones((2, 3), complex)], None, r"weights\[0\] must be .*dtype complex"),
        ([np.ones((0, 3))], None, r"weights\[0\] must be an array"),
        ([np.ones((2, 3))], [np.ones(2)], r"biases\[0\] must be .*shape \(3,\), got shape \(2,\)"),
        ([np.ones((2, 3))], [], "biases must hold one item for each of 1 weights, got 0"),
    ],
)
def test_arrays_that_do_not_fit(weights, biases, message):
    with pytest.raises(ValueError, match=message):
        cr.exchange.from_weights(weights, biases)


def test_wrong_types():
    with pytest.raises(TypeError, match="weights must be a sequence of arrays, got ndarray"):
        cr.exchange.from_weights(np.ones((2, 3)))
    with pytest.raises(ValueError, match="activation must be one of"):
        cr.exchange.from_weights([np.ones((2, 3))], activation="logistic")
    with pytest.raises(ValueError, match="output_activation must be one of"):
        cr.exchange.from_weights([np.ones((2, 3))], output_activation="softmax")
    with pytest.raises(TypeError, match=r"must be a fitted .*, got MLPRegressor without coefs_"):
        cr.exchange.from_sklearn(MLPRegressor())
    estimator = MLPRegressor(activation="relu")
    estimator.coefs_, estimator.intercepts_ = [np.ones((2, 3)), np.ones((2, 1))], [None, None]
    with pytest.raises(ValueError, match=r"estimator\.coefs_\[1\] must be .* of shape \(3, n\)"):
        cr.exchange.from_sklearn(estimator)
    own = estimators.MLPRegressor(hidden_layer_sizes=3, norm="layer", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        own.fit(np.ones((4, 2)), np.ones(4))
    with pytest.raises(TypeError, match="got one of chainrule, whose model_ is an MLP"):
        cr.exchange.from_sklearn(own)
    estimator.activation = "softsign"
    with pytest.raises(ValueError, match=r"estimator\.activation must be one of"):
        cr.exchange.from_sklearn(estimator)
