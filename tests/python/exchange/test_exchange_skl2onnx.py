"""Pipelines around estimators become ONNX models through skl2onnx: what runs says what they say."""

import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
from sklearn import datasets
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import estimators
from chainrule.exchange._onnx_graph import class_labels


class _Wrapped(BaseEstimator):
    """An estimator of the kind that register_skl2onnx takes, fitted by scikit-learn's."""

    def __init__(self, activation="relu", dtype="float64"):
        self.activation = activation
        self.dtype = dtype

    def fit(self, X, y):
        inner = self.kind(
            hidden_layer_sizes=(16,), activation=self.activation, max_iter=60, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            inner.fit(X.astype(self.dtype), y)
        self.inner_ = inner
        self.model_ = cr.exchange.from_sklearn(inner)
        self.out_activation_ = inner.out_activation_
        return self

    def predict(self, X):
        return self.inner_.predict(X.astype(self.dtype))


class Classifier(ClassifierMixin, _Wrapped):
    kind = MLPClassifier

    def fit(self, X, y):
        super().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X.astype(self.dtype))


class Regressor(RegressorMixin, _Wrapped):
    kind = MLPRegressor


@pytest.fixture(autouse=True)
def _registered():
    cr.exchange.register_skl2onnx(Classifier, Regressor)


def convert(estimator, X, **options):
    if hasattr(estimator, "predict_proba"):
        options = {"options": {id(estimator): {"zipmap": False}}, **options}
    proto = skl2onnx.to_onnx(estimator, X[:1], target_opset=17, **options)
    onnx.checker.check_model(proto, full_check=True)
    return onnxruntime.InferenceSession(proto.SerializeToString())


def iris(labels):
    data = datasets.load_iris()
    X, y = data.data, data.target
    if labels == "strings":
        y = np.array(["setosa", "versicolor", "virginica"])[y]
    elif labels == "two":
        X, y = X[y < 2], y[y < 2]
    elif labels == "two strings":
        X, y = X[y < 2], np.array(["a", "b"])[y[y < 2]]
    elif labels == "several":
        y = np.stack([y > 0, y > 1, X[:, 0] > 6], axis=1).astype(int)
    return X, y


def pipeline(estimator, X, y):
    return make_pipeline(StandardScaler(), estimator).fit(X, y)


# The scaler computes in the type of the input, in which a quotient of about 3 is rounded; this
# network multiplies that by less than 100.
TOLERANCES = {"float32": 300 * 2.0**-24, "float64": 300 * 2.0**-53}


@pytest.mark.parametrize("labels", ["integers", "strings", "two", "two strings", "several"])
def test_classifiers(labels, dtype):
    X, y = iris(labels)
    fitted = pipeline(Classifier(dtype=dtype), X, y)
    X = X.astype(dtype)
    label, probabilities = convert(fitted, X).run(None, {"X": X})
    want = fitted.predict_proba(X)
    assert probabilities.dtype == dtype
    assert np.abs(probabilities - want).max() < TOLERANCES[dtype]
    assert np.abs(want - 0.5).min() > TOLERANCES[dtype]  # no label that rounding could turn
    assert label.tolist() == fitted.predict(X).tolist()


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_regressors(activation, dtype):
    data = datasets.load_diabetes()
    y = np.stack([data.target / 100, data.data[:, 2]], axis=1)
    for targets in (y, y[:, 0]):
        fitted = pipeline(Regressor(activation, dtype=dtype), data.data, targets)
        X = data.data.astype(dtype)
        (got,) = convert(fitted, X).run(None, {"X": X})
        want = fitted.predict(X).reshape(len(X), -1)
        assert got.dtype == dtype
        assert got.shape == want.shape
        assert np.abs(got - want).max() < TOLERANCES[dtype] * np.abs(want).max()


@pytest.mark.parametrize(("inner", "outer"), [("float32", "float64"), ("float64", "float32")])
def test_a_pipeline_of_another_type_than_the_model(inner, outer):
    X, y = iris("integers")
    fitted = pipeline(Classifier(dtype=inner), X, y)
    X = X.astype(outer)
    label, probabilities = convert(fitted, X).run(None, {"X": X})
    assert probabilities.dtype == outer
    assert np.abs(probabilities - fitted.predict_proba(X)).max() < TOLERANCES["float32"]
    assert label.tolist() == fitted.predict(X).tolist()


def test_integer_features_and_the_map_of_probabilities():
    digits = datasets.load_digits()
    X = digits.data[:200].astype(np.int64)
    fitted = Classifier(dtype="float32").fit(X, digits.target[:200])
    proto = skl2onnx.to_onnx(fitted, X[:1], target_opset=17)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    label, maps = session.run(None, {"X": X})
    assert label.tolist() == fitted.predict(X).tolist()
    got = np.array([[row[c] for c in range(10)] for row in maps])
    assert np.abs(got - fitted.predict_proba(X)).max() < TOLERANCES["float32"]


def test_two_estimators_in_one_model():
    # Names of nodes and constants do not collide.
    X, y = iris("integers")
    X = StandardScaler().fit_transform(X)
    pair = [("a", Classifier("relu")), ("b", Classifier("tanh"))]
    fitted = VotingClassifier(pair, voting="soft", flatten_transform=False).fit(X, y)
    label, probabilities = convert(fitted, X).run(None, {"X": X})
    assert np.abs(probabilities - fitted.predict_proba(X)).max() < TOLERANCES["float64"]
    assert label.tolist() == fitted.predict(X).tolist()


def test_an_old_opset_is_refused():
    X, y = iris("integers")
    fitted = Classifier().fit(X, y)
    with pytest.raises(ValueError, match="target_opset must be at least 13"):
        skl2onnx.to_onnx(fitted, X[:1], target_opset=12)


def test_wrong_arguments(monkeypatch):
    with pytest.raises(TypeError, match="classifier must be a class, got Classifier"):
        cr.exchange.register_skl2onnx(Classifier(), Regressor)
    with pytest.raises(TypeError, match="regressor must be a class, got str"):
        cr.exchange.register_skl2onnx(Classifier, "Regressor")
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r'needs skl2onnx.*pip install "skl2onnx>=[0-9.]+"$'):
        cr.exchange.register_skl2onnx(Classifier, Regressor)


@pytest.mark.parametrize("classes", [[0.0, 1e20], [0.0, np.inf], [2**63, 1], [0.5, 1.0]])
def test_classes_that_onnx_has_not_are_refused(classes):
    with pytest.raises(TypeError, match="classes must be strings or whole numbers of 64 bits"):
        class_labels(np.array(classes), 2, "classes")
    assert class_labels(np.array([True, False]), 2, "classes").tolist() == [1, 0]


@pytest.mark.parametrize(
    "model",
    [
        estimators.MLPClassifier(8, loss="binary_cross_entropy"),
        estimators.MLPRegressor("poisson", 8),
        estimators.MLPRegressor("gaussian_nll", 8),
        estimators.MLPRegressor(cr.Quantile([0.1, 0.9]), 8),
    ],
    ids=lambda model: str(model.loss),
)
def test_losses_of_our_own_estimators(model):
    """Whose outputs are no predictions yet."""
    cr.exchange.register_skl2onnx()
    X, y = datasets.load_iris(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(max_iter=20, random_state=0).fit(X, y)
    session = convert(model, X)
    if hasattr(model, "predict_proba"):
        labels, probabilities = session.run(None, {"X": X})
        np.testing.assert_array_equal(labels, model.predict(X))
        np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-10)
        return
    (got,) = session.run(None, {"X": X})
    want = model.predict(X)
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-10)


@pytest.mark.parametrize("loss", ["squared_error", "gaussian_nll"])
def test_standardized_features_and_targets(loss):
    cr.exchange.register_skl2onnx()
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    model = estimators.MLPRegressor(loss, 8, max_iter=20, random_state=0, standardize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X * 1e3, y * 1e6)
    (got,) = convert(model, X * 1e3).run(None, {"X": X * 1e3})
    assert np.ptp(got) > 1e7
    np.testing.assert_allclose(got.ravel(), model.predict(X * 1e3), rtol=1e-10)
