"""The face of the estimators beside scikit-learn's: parameters, methods, attributes, errors."""

import inspect
import re
import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from estimator_cases import CANCER, DIABETES, WINE, fitted, indicators
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

from chainrule.estimators import MLPClassifier, MLPRegressor

X, Y = DIABETES
KINDS = [MLPClassifier, MLPRegressor]
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}


def theirs_of(kind):
    return getattr(neural_network, kind.__name__)


def both(kind, **kwargs):
    return [each(**{**SMALL, **kwargs}) for each in (theirs_of(kind), kind)]


# --- parameters and methods ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_defaults(kind):
    theirs, ours = (inspect.signature(each).parameters for each in (theirs_of(kind), kind))
    assert len(theirs) >= 23
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default, name
        assert type(ours[name].default) is type(parameter.default), name
        # What may be given by position stands at the same place.
        assert ours[name].kind == parameter.kind, name
    by_position = [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [*ours][: len(by_position)] == by_position
    more = ours.keys() - theirs.keys()
    assert more
    assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in more)
    assert kind().get_params().items() >= theirs_of(kind)().get_params().items()


@pytest.mark.parametrize("kind", KINDS)
def test_methods_take_the_same_arguments(kind):
    names = {n for n, _ in inspect.getmembers(theirs_of(kind)) if not n.startswith("_")}
    assert names <= {n for n, _ in inspect.getmembers(kind)}
    models = both(kind)
    for name in ("fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "score"):
        if name not in names:
            continue
        theirs, ours = (inspect.signature(getattr(m, name)).parameters for m in models)
        for argument, parameter in theirs.items():
            assert ours[argument].default == parameter.default
        assert [*ours][: len(theirs)] == [*theirs]


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_asked_to_be_routed(kind):
    theirs, ours = (model.get_metadata_routing() for model in both(kind))
    for method in ("fit", "partial_fit", "score"):
        requests = getattr(ours, method).requests
        assert requests.items() >= getattr(theirs, method).requests.items()


# --- fitted attributes ---------------------------------------------------------------------------

FRAME = pd.DataFrame(WINE[0]).add_prefix("column ")
FITS = {
    "classes": (MLPClassifier, WINE, {}),
    "two classes": (MLPClassifier, CANCER, {"solver": "sgd"}),
    "early stopping": (MLPClassifier, CANCER, {"early_stopping": True}),
    "labels": (MLPClassifier, indicators(), {"hidden_layer_sizes": (4, 3)}),
    "sparse labels": (
        MLPClassifier,
        (indicators()[0], scipy.sparse.csr_matrix(indicators()[1])),
        {},
    ),
    "lbfgs": (MLPClassifier, WINE, {"solver": "lbfgs"}),
    "names": (MLPClassifier, (FRAME, WINE[1]), {}),
    "single precision": (MLPClassifier, (WINE[0].astype(np.float32), WINE[1]), {}),
    "regression": (MLPRegressor, DIABETES, {}),
    "column": (MLPRegressor, (X, Y.reshape(-1, 1)), {}),
    "several targets": (MLPRegressor, (X, np.column_stack([Y, -Y])), {"early_stopping": True}),
    "regression, lbfgs": (MLPRegressor, DIABETES, {"solver": "lbfgs"}),
    "counts": (MLPRegressor, DIABETES, {"loss": "poisson"}),
    "no hidden layer": (MLPRegressor, DIABETES, {"hidden_layer_sizes": ()}),
    "sparse": (MLPRegressor, (scipy.sparse.csr_matrix(X), Y), {}),
}


def described(value):
    """Return what a fitted attribute is like, but for its numbers."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype
    if isinstance(value, list):
        return [described(item) for item in value]
    if isinstance(value, Integral | str | None):
        return value
    return "a number" if isinstance(value, Real) else type(value)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("name", FITS)
def test_fitted_attributes(name):
    kind, data, parameters = FITS[name]
    theirs, ours = (fitted(model, *data) for model in both(kind, **parameters))
    public = {n for n in vars(theirs) if n.endswith("_") and not n.startswith("_")}
    assert {"coefs_", "intercepts_", "n_iter_", "t_", "loss_", "n_features_in_"} <= public
    for attribute in public:
        got, want = getattr(ours, attribute), getattr(theirs, attribute)
        assert described(got) == described(want), attribute
    # Nor has ours any of those that theirs has in other fits only.
    known = {"loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"}
    assert known & vars(ours).keys() == known & public
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(theirs, method):
            got, want = (getattr(model, method)(data[0]) for model in (ours, theirs))
            assert (got.shape, got.dtype, type(got)) == (want.shape, want.dtype, type(want))


# --- what random_state may be --------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_random_states(early_stopping):
    models = [
        fitted(model, *DIABETES)
        for state in (7, np.random.RandomState(7))
        for model in both(
            MLPRegressor, random_state=state, shuffle=False, early_stopping=early_stopping
        )[1:]
    ]
    assert models[0].coefs_[0].tobytes() == models[1].coefs_[0].tobytes()
    one, two = (fitted(both(MLPRegressor, random_state=None)[1], *DIABETES) for _ in range(2))
    assert (one.coefs_[0] != two.coefs_[0]).any()


def test_a_random_state_goes_on_as_theirs():
    """Without shuffles both draw the same numbers, so that the next fit has the same weights."""
    states = [np.random.RandomState(7) for _ in range(2)]
    for kind, state in zip((theirs_of(MLPRegressor), MLPRegressor), states, strict=True):
        for _ in range(2):
            fitted(kind(**{**SMALL, "random_state": state, "shuffle": False}), *DIABETES)
    assert states[0].randint(2**31) == states[1].randint(2**31)


# --- warnings and errors -------------------------------------------------------------------------

WARNINGS = {
    "not converged": (MLPClassifier, WINE, {}, ConvergenceWarning, "aximum iterations .3. reached"),
    "lbfgs": (
        MLPRegressor,
        DIABETES,
        {"solver": "lbfgs", "max_iter": 2},
        ConvergenceWarning,
        "(?i)lbfgs|l-bfgs",
    ),
    "column": (MLPRegressor, (X, Y.reshape(-1, 1)), {}, DataConversionWarning, "column-vector y"),
    "column of labels": (
        MLPClassifier,
        (WINE[0], WINE[1].reshape(-1, 1)),
        {},
        DataConversionWarning,
        "column-vector y",
    ),
    "large batch": (MLPClassifier, WINE, {"batch_size": 1000}, UserWarning, "batch_size.*clipped"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings(name):
    kind, data, parameters, category, words = WARNINGS[name]
    for model in both(kind, **parameters):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            model.fit(*data)
        found = [w for w in seen if w.category is category]
        assert [w for w in found if re.search(words, str(w.message).replace("\n", " "))], model


NAN = np.where(np.arange(X.size).reshape(X.shape) == 5, np.nan, X)
ERRORS = {
    "hidden_layer_sizes": (MLPClassifier, {"hidden_layer_sizes": (3, 0)}, WINE, "hidden_layer_s"),
    "alpha": (MLPRegressor, {"alpha": -1}, DIABETES, "'alpha' parameter of MLPRegressor"),
    "activation": (MLPRegressor, {"activation": "cosine"}, DIABETES, "'activation' parameter"),
    "solver": (MLPClassifier, {"solver": "newton"}, WINE, "'solver' parameter of MLPClassifier"),
    "momentum": (MLPClassifier, {"momentum": 2.0}, WINE, "'momentum' parameter"),
    "beta_1": (MLPClassifier, {"beta_1": 1.0}, WINE, "'beta_1' parameter"),
    "epsilon": (MLPClassifier, {"epsilon": 0.0}, WINE, "'epsilon' parameter"),
    "batch_size": (MLPClassifier, {"batch_size": 0}, WINE, "'batch_size' parameter"),
    "max_iter": (MLPClassifier, {"max_iter": 1.5}, WINE, "'max_iter' parameter"),
    "random_state": (MLPClassifier, {"random_state": "a"}, WINE, "'random_state' parameter"),
    "few held out": (
        MLPClassifier,
        {"early_stopping": True, "validation_fraction": 0.005},
        WINE,
        "validation set is too small|n_classes|number of classes",
    ),
    "NaN": (MLPRegressor, {}, (NAN, Y), "contains NaN"),
    "infinite y": (MLPRegressor, {}, (X, np.where(np.arange(len(Y)) == 5, np.inf, Y)), "nfinity"),
    "one dimension": (MLPRegressor, {}, (X[:, 0], Y), "Expected 2D array"),
    "lengths": (MLPRegressor, {}, (X, Y[1:]), "inconsistent numbers of samples"),
    "no rows": (MLPRegressor, {}, (X[:0], Y[:0]), "0 sample"),
    "texts": (MLPRegressor, {}, (X, Y.astype(str).astype(object) + "a"), "could not convert"),
    "numbers of a regression": (MLPClassifier, {}, DIABETES, "Unknown label type"),
    "several outputs": (
        MLPClassifier,
        {},
        (WINE[0], np.column_stack([WINE[1], WINE[1]])),
        "(?i)multioutput",
    ),
    "weights": (MLPRegressor, {}, (X, Y, np.ones(3)), r"sample_weight.*shape"),
    "weights of two dimensions": (
        MLPRegressor,
        {},
        (X, Y, np.ones((len(X), 2))),
        "1D|1-D",
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kind, parameters, data, words = ERRORS[name]
    raised = []
    for model in both(kind, **parameters):
        with pytest.raises(Exception, match=words) as error:
            fitted(model, *data)
        raised.append(error.type)
    assert raised[0] is raised[1]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_fitted_and_unfitted_models(kind):
    data = WINE if kind is MLPClassifier else DIABETES
    for model in both(kind):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            model.predict(data[0])
        fitted(model, *data)
        with pytest.raises(ValueError, match="features"):
            model.predict(data[0][:, :2])
        more = {"classes": [0, 1, 2]} if kind is MLPClassifier else {}
        with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
            model.set_params(early_stopping=True).partial_fit(*data, **more)
    # (scikit-learn's regressor has the method with lbfgs, too.)
    lbfgs = kind(solver="lbfgs")
    assert not hasattr(lbfgs, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        lbfgs.partial_fit(*data)


def test_errors_of_partial_fits():
    for model in both(MLPClassifier):
        with pytest.raises(ValueError, match="classes must be passed on the first call"):
            model.partial_fit(*WINE)
        model.partial_fit(*WINE, classes=[0, 1, 2])
        with pytest.raises(ValueError, match=r"`y` has classes not in `self\.classes_`"):
            model.partial_fit(WINE[0], WINE[1] + 1)
        with pytest.raises(ValueError, match="classes"):
            model.partial_fit(*WINE, classes=[0, 1])
    for model in both(MLPClassifier, warm_start=True):
        fitted(model, *WINE)
        with pytest.raises(ValueError, match="warm_start can only be used where"):
            model.fit(WINE[0], np.minimum(WINE[1], 1))
