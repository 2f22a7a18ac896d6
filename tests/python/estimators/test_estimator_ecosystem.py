"""The estimators within scikit-learn and what is built around it, on real data."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import skops.io
from estimator_cases import CANCER, DIABETES, WINE, classifier, fitted, indicators, regressor
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.neural_network import MLPClassifier as TheirMLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

import chainrule as cr
from chainrule.estimators import MLPClassifier

X_WINE, Y_WINE = WINE
QUICK = {"max_iter": 40}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same_predictions(one, other, X):
    method = "predict_proba" if hasattr(one, "predict_proba") else "predict"
    assert getattr(one, method)(X).tobytes() == getattr(other, method)(X).tobytes()


# --- composition ---------------------------------------------------------------------------------


def test_pipeline_over_a_table_of_mixed_columns():
    X, y = load_wine(return_X_y=True, as_frame=True)
    X["strength"] = pd.cut(X.pop("alcohol"), 3, labels=["light", "middle", "strong"]).astype(str)
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), X.columns.drop("strength")),
            ("name", OneHotEncoder(), ["strength"]),
        ]
    )
    model = Pipeline([("columns", columns), ("mlp", classifier(**QUICK))])
    assert cross_val_score(model, X, y, cv=3).mean() > 0.95


def test_sparse_output_of_a_transformer_is_taken():
    bins = KBinsDiscretizer(8, quantile_method="averaged_inverted_cdf")
    model = make_pipeline(bins, classifier(**QUICK)).fit(*CANCER)
    assert model.score(*CANCER) > 0.95


def test_names_of_features_are_kept_and_compared():
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = fitted(classifier(max_iter=2, standardize="auto"), X, y)
    assert list(model.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(X.to_numpy())


@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow"])
def test_tables_are_taken(container):
    X = pd.DataFrame(X_WINE, columns=load_wine().feature_names)
    if container == "polars":
        X = pl.from_pandas(X)
    elif container == "pyarrow":
        X = pa.Table.from_pandas(X)
    model = fitted(classifier(), X, Y_WINE)
    plain = fitted(classifier(), X_WINE, Y_WINE)
    assert model.predict_proba(X).tobytes() == plain.predict_proba(X_WINE).tobytes()
    # Which tables have names depends on scikit-learn: version 1.7 knows none of polars 2.
    names, theirs = (
        list(getattr(each, "feature_names_in_", []))
        for each in (model, fitted(TheirMLPClassifier(max_iter=1), X, Y_WINE))
    )
    assert names == theirs


def test_output_of_transformers_before_it_may_be_a_table():
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), classifier(**QUICK)).set_output(transform="pandas")
    model.fit(X, y)
    assert list(model[-1].feature_names_in_) == list(X.columns)
    assert model.score(X, y) > 0.95


def test_targets_may_be_transformed():
    X, y = load_diabetes(return_X_y=True)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor(**QUICK)), transformer=StandardScaler()
    )
    assert cross_val_score(model, X, y, cv=3).mean() > 0.35


# --- selection -----------------------------------------------------------------------------------


def test_grid_search_in_two_processes():
    grid = {"hidden_layer_sizes": [(4,), (16,)], "dropout": [0.0, 0.2]}
    grid["optimizer"] = [None, cr.AdamW(1e-2)]
    search = GridSearchCV(classifier(**QUICK), grid, n_jobs=2, cv=3).fit(*WINE)
    assert search.best_score_ > 0.95
    assert_same_predictions(
        search.best_estimator_, clone(search.best_estimator_).fit(*WINE), X_WINE
    )


def test_halving_search():
    grid = {"alpha": [1e-4, 1e-2, 1.0], "norm": [None, "layer"]}
    search = HalvingGridSearchCV(
        classifier(max_iter=5), grid, resource="max_iter", max_resources=45, random_state=0, cv=3
    ).fit(*WINE)
    assert search.best_params_["max_iter"] == 45
    assert search.best_score_ > 0.9


def test_cross_validation():
    probabilities = cross_val_predict(classifier(**QUICK), *WINE, method="predict_proba", cv=3)
    assert log_loss(Y_WINE, probabilities) < 0.3
    scores = cross_validate(regressor(**QUICK), *DIABETES, cv=3, return_estimator=True)
    assert scores["test_score"].mean() > 0.3
    assert len({model.n_features_in_ for model in scores["estimator"]}) == 1


def test_metadata_is_routed():
    X, y = CANCER
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        mlp = classifier(**QUICK).set_fit_request(sample_weight=True, eval_set=True)
        model = make_pipeline(scaler, mlp.set_score_request(sample_weight=True))
        model.fit(X, y, sample_weight=weights, eval_set=(X, y))
        score = model.score(X, y, sample_weight=weights)
        # Until version 1.7, what takes the place of no scorer does not ask the parts of a pipeline.
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        scores = cross_validate(
            model, X, y, scoring=scorer, params={"sample_weight": weights}, cv=3
        )
    assert scores["test_score"].mean() > 0.95
    scaled = StandardScaler().fit_transform(X)
    by_hand = fitted(classifier(**QUICK), scaled, y, sample_weight=weights)
    assert score == by_hand.score(scaled, y, sample_weight=weights)
    assert score != by_hand.score(scaled, y)
    assert by_hand.coefs_[0].tobytes() == model[-1].coefs_[0].tobytes()
    assert len(model[-1].evals_result_["validation_0"]["loss"]) == 40


# --- around a model ------------------------------------------------------------------------------


def test_calibration():
    model = CalibratedClassifierCV(classifier(**QUICK), method="isotonic", cv=3).fit(*CANCER)
    assert model.score(*CANCER) > 0.95
    np.testing.assert_allclose(model.predict_proba(CANCER[0]).sum(axis=1), 1)


def test_permutation_importance():
    X, y = WINE
    noise = np.random.default_rng(0).normal(size=(len(X), 1))
    model = fitted(classifier(**QUICK), np.hstack([X, noise]), y)
    result = permutation_importance(model, np.hstack([X, noise]), y, n_repeats=5, random_state=0)
    assert result.importances_mean[-1] < result.importances_mean.max() / 4


def test_voting():
    model = VotingClassifier(
        [("mlp", classifier(**QUICK)), ("linear", LogisticRegression())], voting="soft"
    )
    assert cross_val_score(model, *WINE, cv=3).mean() > 0.95


def test_clones_are_unfitted_and_equal():
    model = MLPClassifier(
        (8, 4),
        ["tanh", cr.Activation("elu", alpha=0.5)],
        optimizer=cr.SGD(cr.Cosine(0.1), momentum=0.9),
        loss=cr.CrossEntropy(label_smoothing=0.1),
        early_stopping=cr.EarlyStopping(patience=3),
        random_state=0,
    )
    twin = clone(fitted(model, *WINE))
    assert not hasattr(twin, "coefs_")
    assert twin.get_params() == model.get_params()
    assert_same_predictions(fitted(twin, *WINE), model, X_WINE)


# --- keeping -------------------------------------------------------------------------------------

CASES = {
    "softmax": (classifier(), WINE),
    "indicators": (classifier(), indicators()),
    "regression": (regressor(solver="sgd", learning_rate="adaptive"), DIABETES),
    "lbfgs": (regressor(solver="lbfgs"), DIABETES),
    "precision": (regressor(dtype="float32", precision="bf16"), DIABETES),
    "own parts": (
        classifier(
            activation=cr.Activation("leaky_relu", negative_slope=0.3),
            norm="batch",
            dropout=0.2,
            optimizer=cr.RMSprop(1e-3, momentum=0.5),
            early_stopping=cr.EarlyStopping(patience=3),
        ),
        CANCER,
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    model, data = CASES[request.param]
    return fitted(clone(model), *data), *data


def continued(model, X, y):
    """Go on training where that is possible; return the weights."""
    if hasattr(model, "partial_fit") and not model.early_stopping:
        model.partial_fit(X, y)
    return np.concatenate([array.ravel() for array in model.coefs_])


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "joblib"])
def test_copies_predict_and_train_on_with_the_same_bits(case, way, tmp_path):
    model, X, y = case
    if way == "pickle":
        other = pickle.loads(pickle.dumps(model))
    elif way == "deepcopy":
        other = copy.deepcopy(model)
    else:
        joblib.dump(model, tmp_path / "model.joblib")
        other = joblib.load(tmp_path / "model.joblib")
    assert_same_predictions(model, other, X)
    assert other.model_.history is other.history_
    assert continued(other, X, y).tobytes() == continued(model, X, y).tobytes()


def test_copies_keep_the_precision_of_the_network():
    model = fitted(regressor(dtype="float32", max_iter=2), *DIABETES)
    outputs = model.predict(DIABETES[0])
    model.model_.precision = "bf16"
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.model_.precision == "bf16"
        assert_same_predictions(other, model, DIABETES[0])
        assert (other.predict(DIABETES[0]) != outputs).any()


def test_memory_mapped_models_and_data(case, tmp_path):
    model, X, y = case
    joblib.dump((model, X), tmp_path / "both.joblib")
    other, mapped = joblib.load(tmp_path / "both.joblib", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert_same_predictions(model, other, mapped)
    assert other.coefs_[0].flags.writeable
    fitted(clone(model), mapped, y)


def test_parallel_work_on_memory_mapped_rows():
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), classifier(**QUICK))
    folds = [(np.arange(0, 400), np.arange(400, 569)), (np.arange(169, 569), np.arange(169))]

    def score(rows, held_out):
        return clone(model).fit(X[rows], y[rows]).score(X[held_out], y[held_out])

    parallel = joblib.Parallel(n_jobs=2, max_nbytes=1000)
    assert parallel(joblib.delayed(score)(*fold) for fold in folds) == [
        score(*fold) for fold in folds
    ]


def test_skops_keeps_them_without_pickle(case):
    model, X, y = case
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert {name.partition(".")[0] for name in untrusted} <= {"chainrule"}
    other = skops.io.loads(data, trusted=untrusted)
    assert_same_predictions(model, other, X)
    assert continued(other, X, y).tobytes() == continued(model, X, y).tobytes()


def test_states_are_plain_values_and_arrays():
    state = fitted(classifier(), *WINE).__getstate__()
    assert {"model_", "_trainer", "coefs_"}.isdisjoint(state)
    network = state["_network"]
    assert network["parameters"].dtype == np.float64
    assert network["layers"][0]["activation"] == "relu"
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in network.items() if name != "layers"})
    assert buffer.tell() > network["parameters"].nbytes
