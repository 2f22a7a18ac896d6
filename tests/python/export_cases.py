"""What the tests of `chainrule export` share: tables with models, estimators, a network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from exchange_cases import set_numbers
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from tables import cancer, diabetes, write

import chainrule as cr
from chainrule._cli import main
from chainrule._command.marks import Marks
from chainrule._command.pipeline import Pipeline
from chainrule._command.source import open_source
from chainrule.estimators import MLPClassifier, MLPRegressor

SECONDS = pd.Timedelta(seconds=1)


def visits() -> pd.DataFrame:
    """Return rows with times, rare words, numbers as names, and words for missing values."""
    rng = np.random.default_rng(3)
    n = 600
    words = np.array([f"word {i:02}" for i in range(50)] + ["?", "label", '"*/ \u00e9'])
    frame = pd.DataFrame(
        {
            "label": rng.choice(words, n),
            "chainrule_x": rng.normal(size=n) * 1e3,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 9e7, n), unit="s"),
            "room": rng.integers(1, 5, n),
            "open": np.array(rng.random(n) < 0.5, object),
        }
    )
    frame["size"] = (
        frame["chainrule_x"] * frame["open"].astype(float) + frame["when"].dt.day_of_week * 100
    )
    for name in ("label", "chainrule_x", "when", "open"):
        frame.loc[rng.random(n) < 0.06, name] = None
    frame["grade"] = np.where(frame["size"] > 100, 3, np.where(frame["size"] > -100, 2, -7))
    return frame


TABLES: dict[str, tuple[pd.DataFrame, str, list[str]]] = {
    "texts": (cancer(), "diagnosis", []),
    "numbers": (diabetes(), "progress", []),
    "times": (
        visits().drop(columns="grade"),
        "size",
        ["--missing", "?", "--categorical", "room"],
    ),
    "grades": (visits().drop(columns="size"), "grade", ["--missing", "?"]),
    "truth": (visits().drop(columns=["size", "grade"]), "open", []),
}


def trained(folder: Path) -> Path:
    """Put a table and a model of it into the folder for each of TABLES."""
    for name, (frame, target, options) in TABLES.items():
        path = write(frame, folder / f"{name}.parquet")
        arguments = ["train", path, "--target", target, "--epochs", "8", "--hidden", "16"]
        arguments += ["--output", folder / f"{name}.safetensors", "--quiet", *options]
        assert main([str(argument) for argument in arguments]) == 0
    return folder


def encoded(pipeline: Pipeline, rows: Path) -> Any:
    """Return what the network of a model gets for the rows of a file."""
    source = open_source(str(rows), Marks(pipeline.missing))
    kinds = pipeline.kinds()
    return np.concatenate(
        [
            pipeline.encoding.encode(pipeline.columns_of(source, chunk), slice(None), chunk.n_rows)
            for chunk in source.chunks(list(kinds), kinds)
        ]
    )


def export(*arguments: object) -> None:
    assert main(["export", *map(str, arguments)]) == 0


def awkward(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with more that training never saw: infinities, words, huge numbers."""
    frame = frame.copy()
    numbers = frame.select_dtypes("float").columns
    for i, value in enumerate((np.inf, -np.inf, 1e300, -1e300, np.nan, 0.0)):
        frame.loc[frame.index[i], numbers] = value
    for name in frame.columns:
        if isinstance(frame[name].dropna().iloc[0], str):
            frame.loc[frame.index[7], name] = "never seen"
            frame.loc[frame.index[8], name] = None
    return frame


def varied(dtype: str) -> cr.MLP:
    """Return a network with one of everything that a layer can have."""
    layers = [
        cr.Dense(8, cr.Activation("leaky_relu", negative_slope=0.2), 0.25, "batch"),
        cr.Dense(7, "gelu_tanh", norm="layer", bias=False),
        cr.Dense(6, "softplus"),
        cr.Dense(5, cr.Activation("elu", alpha=0.5)),
    ]
    model = cr.MLP([4, *layers, 3], dtype=dtype)
    set_numbers(model, np.random.default_rng(5))
    return model


def fitted(model: Any, X: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.set_params(max_iter=10, random_state=0).fit(X, y)


WINE = datasets.load_wine()
X = (WINE.data - WINE.data.mean(axis=0)) / WINE.data.std(axis=0)
NAMED = pd.DataFrame(X, columns=WINE.feature_names)
INDICATORS = np.column_stack([WINE.target == 0, X[:, 1] > 0, X[:, 2] > X[:, 3]]).astype(int)
TARGETS = np.column_stack([X[:, 0], X[:, 1] * X[:, 2]])
ESTIMATORS: dict[str, tuple[Any, Any, Any]] = {
    "classes": (MLPClassifier(8), NAMED, WINE.target_names[WINE.target]),
    "binary": (MLPClassifier(8), X, WINE.target > 0),
    "labels": (MLPClassifier(8), X, INDICATORS),
    "one against all": (MLPClassifier(8, loss="binary_cross_entropy"), X, WINE.target + 5),
    "float32": (MLPClassifier(8, dtype="float32", norm="batch"), X, WINE.target),
    "values": (MLPRegressor(hidden_layer_sizes=8), X, TARGETS),
    "rates": (MLPRegressor("poisson", 8), X, WINE.target),
    "normal": (MLPRegressor("gaussian_nll", 8), X, TARGETS),
    "quantiles": (MLPRegressor(cr.Quantile([0.1, 0.5, 0.9]), 8), X, TARGETS),
    "quantiles of one": (MLPRegressor(cr.Quantile([0.1, 0.9]), 8), X, TARGETS[:, 0]),
}
