"""The defaults of `chainrule train FILE` beside scikit-learn's: held-out scores and times.

    python -m benchmarks.defaults                          # ten seeds of nine tables: 3 minutes
    python -m benchmarks.defaults --tables many --seeds 3  # 50,000 rows: 5 minutes

For each seed both get the rows that the command would train on, encoded and standardized by it, and
are scored on the rows that it holds out. scikit-learn's MLPs have their own defaults, one hidden
layer of 100; its targets are standardized too. Tables are scikit-learn's own, and generated ones.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SEEDS = 10
_REAL = ("wine", "iris", "breast_cancer", "digits", "diabetes")


# --- tables --------------------------------------------------------------------------------------


def _friedman(rng):
    from sklearn.datasets import make_friedman1

    return make_friedman1(1000, noise=1.0, random_state=rng.randint(2**31))


def _noisy(rng):
    from sklearn.datasets import make_classification

    seed = rng.randint(2**31)
    X, y = make_classification(600, 30, n_informative=5, flip_y=0.2, random_state=seed)
    return X, np.array(["u", "v"])[y]


def _homes(rng, n=2000):
    """Prices as in a large state: income, age, rooms, people, and how far two cities are."""
    income, age = rng.gamma(3.5, 1.1, n), rng.randint(1, 53, n)
    north, east = rng.uniform(32.5, 42, n), rng.uniform(-124, -114, n)
    rooms, people = rng.gamma(8, 0.65, n), rng.gamma(6, 0.5, n)
    far = np.minimum(np.hypot(north - 34, east + 118), np.hypot(north - 38, east + 122))
    price = 0.42 * income + 1.6 * np.exp(-far) + 0.04 * np.sqrt(income) * (rooms - 5)
    price = (price - 0.18 * (people - 3) + 0.004 * age) * np.exp(rng.normal(0, 0.22, n))
    columns = [income, age, rooms, people, north, east]
    return np.column_stack(columns), np.clip(price, 0.15, 5)


def _interactions(rng, n=8000):
    X = rng.normal(size=(n, 15))
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) * X[:, 3] + np.maximum(X[:, 4], X[:, 5])
    return X, y + 0.5 * (X[:, 6] > 0) * X[:, 7] + rng.normal(size=n)


GENERATED = {
    "noisy": _noisy,
    "friedman": _friedman,
    "homes": _homes,
    "interactions": _interactions,
    "many": lambda rng: _interactions(rng, 50_000),
}
TABLES = tuple(name for name in (*_REAL, *GENERATED) if name != "many")


def write(name, folder):
    """Write a table as CSV; return its path."""
    import pandas as pd
    from sklearn import datasets

    if name in GENERATED:
        X, y = GENERATED[name](np.random.RandomState(0))
    else:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    frame = pd.DataFrame(X).add_prefix("x")
    # Digits have the classes 0 to 9; text keeps all tables alike.
    frame["y"] = [f"class {k}" for k in y] if name in _REAL and name != "diabetes" else y
    path = Path(folder) / f"{name}.csv"
    frame.to_csv(path, index=False)
    return path


# --- both sides ----------------------------------------------------------------------------------


def ours(path, seed, options=()):
    """Train as the command does; return what was prepared, scores, and seconds."""
    import io

    from chainrule._command.fitting import fit_network
    from chainrule._command.options import TrainOptions
    from chainrule._command.preparation import prepare
    from chainrule._command.report import Report
    from chainrule._command.scores import score
    from chainrule._command.table import Choices

    fields = dict.fromkeys(TrainOptions.__dataclass_fields__) | {"seed": seed, "quiet": True}
    prepared = prepare(str(path), "y", Choices(), None, 0.2, seed, None)
    start = time.perf_counter()
    report = Report(quiet=True, stream=io.StringIO())
    trained = fit_network(report, TrainOptions(**fields | dict(options)), prepared, threads=2)
    seconds = time.perf_counter() - start
    outputs = trained.model.predict(prepared.held_out.X)
    return prepared, score(prepared.target, outputs, prepared.held_out.y), seconds


def theirs(prepared, seed, **parameters):
    """Train scikit-learn's MLP on the same rows; return scores and seconds."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from chainrule._command.scores import class_scores, value_scores

    target, held_out = prepared.target, prepared.held_out
    X = np.concatenate([prepared.train.X, prepared.validation.X])
    y = np.concatenate([prepared.train.y, prepared.validation.y])
    kind = MLPClassifier if target.classes else MLPRegressor
    model = kind(random_state=seed, **parameters)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y if target.classes else target.standardize(y).ravel())
    seconds = time.perf_counter() - start
    if target.classes:
        return class_scores(target, model.predict_proba(held_out.X), held_out.y), seconds
    values = target.values(model.predict(held_out.X).reshape(-1, 1))
    return value_scores(values, held_out.y), seconds


def in_words(values):
    """Return mean and standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {error:.4f}"


def main(arguments=None, options=()):
    """Measure what the arguments ask for; `options` of the command are for the smoke test."""
    parser = argparse.ArgumentParser(prog="benchmarks.defaults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args(arguments)
    parameters = {"max_iter": dict(options)["epochs"]} if options else {}
    print("| table | rows | score | chainrule | scikit-learn | s chainrule | s scikit-learn |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.tables.split(","):
            path = write(name, folder)
            rows = []
            for seed in range(given.seeds):
                prepared, *mine = ours(path, seed, options)
                rows.append((mine, theirs(prepared, seed, **parameters)))
            scores = ("accuracy", "log_loss") if prepared.target.classes else ("r2",)
            for score in scores:
                cells = [in_words([row[side][0][score] for row in rows]) for side in (0, 1)]
                cells += [
                    f"{statistics.median(row[side][1] for row in rows):.1f}" for side in (0, 1)
                ]
                print(f"| {name} | {prepared.n_rows} | {score} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
