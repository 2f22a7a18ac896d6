"""chainrule.estimators against scikit-learn's own pair: held-out scores and times of fits.

    python -m benchmarks.estimators                  # digits, cancer, wine, diabetes: 1 minute
    python -m benchmarks.estimators --sets fashion,fashion-two   # 6 minutes
    python -m benchmarks.estimators --recipe         # Fashion-MNIST to 0.90: under 60 seconds

Each library has a process of its own; for each seed both fit the same rows with the same
parameters, one after the other. Needs scikit-learn; Fashion-MNIST is Debian's package
dataset-fashion-mnist, or four IDX files in the folder that --fashion names.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")
_LIBRARIES = {"sklearn": "sklearn.neural_network", "chainrule": "chainrule.estimators"}
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CHAINRULE_NUM_THREADS")
_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # keep NumPy from its best kernels

# Loader, estimator, what differs from the defaults of both libraries.
SETS = {
    "digits": ("load_digits", "MLPClassifier", {}),
    "cancer": ("load_breast_cancer", "MLPClassifier", {}),
    "wine": ("load_wine", "MLPClassifier", {}),
    "diabetes": ("load_diabetes", "MLPRegressor", {"learning_rate_init": 0.01}),
    "fashion": (None, "MLPClassifier", {"max_iter": 10}),
    "fashion-two": (
        None,
        "MLPClassifier",
        {"max_iter": 10, "hidden_layer_sizes": (256, 128), "batch_size": 128},
    ),
}


# --- data ----------------------------------------------------------------------------------------


def read_idx(path):
    """Read a gzipped IDX file: two zero bytes, type, dimensions, sizes, then the numbers."""
    data = gzip.decompress(Path(path).read_bytes())
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path} must be an IDX file of unsigned bytes, got {data[:4]!r}")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def fashion(folder):
    """Return X_train, X_test, y_train, y_test of Fashion-MNIST: float32 in [0, 1], labels."""
    if not folder.is_dir():
        raise SystemExit(f"no {folder}: apt-get install dataset-fashion-mnist, or use --fashion")
    X, y = [], []
    for part in ("train", "t10k"):
        images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        X.append(images.reshape(len(images), -1).astype(np.float32) / 255)
        y.append(read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64))
    return *X, *y


def rows(name, seed, dtype, folder):
    """Return X_train, X_test, y_train, y_test of a set, standardized but for Fashion-MNIST."""
    if SETS[name][0] is None:
        return fashion(folder)
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, SETS[name][0])(return_X_y=True)
    stratify = y if SETS[name][1] == "MLPClassifier" else None
    parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    scaler = StandardScaler().fit(parts[0])
    return *(scaler.transform(part).astype(dtype) for part in parts[:2]), *parts[2:]


# --- the process of one library ------------------------------------------------------------------


def work(library):
    """Answer requests, each a line of JSON: fit, then score on the rows held out."""
    module = __import__(_LIBRARIES[library], fromlist=["MLPClassifier"])
    for line in sys.stdin:
        request = json.loads(line)
        name, seed = request["set"], request["seed"]
        X, X_test, y, y_test = rows(name, seed, request["dtype"], Path(request["folder"]))
        _, estimator, parameters = SETS[name]
        model = getattr(module, estimator)(random_state=seed, **parameters)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        seconds = time.perf_counter() - start
        score = float(model.score(X_test, y_test))
        print(json.dumps({"seconds": seconds, "score": score, "epochs": model.n_iter_}), flush=True)


class Library:
    """The parent's side of such a process."""

    def __init__(self, name, threads):
        environment = {k: v for k, v in os.environ.items() if k not in _UNSET}
        environment |= dict.fromkeys(_THREADS, str(threads))
        command = [sys.executable, "-m", "benchmarks.estimators", "--worker", name]
        self._process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def fit(self, **request):
        """Have it fit; return its answer."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


# --- comparison ----------------------------------------------------------------------------------


def compare(name, seeds, threads, dtype, folder):
    """Fit a set with both libraries, seed by seed; return what was measured."""
    libraries = {library: Library(library, threads) for library in _LIBRARIES}
    request = {"set": name, "dtype": dtype, "folder": str(folder)}
    answers = {library: [] for library in libraries}
    try:
        for library in libraries.values():  # imports, page faults, threads: not timed
            if SETS[name][0] is not None:
                library.fit(**request, seed=0)
        for seed in range(seeds):
            order = list(libraries) if seed % 2 else list(libraries)[::-1]
            for library in order:
                answers[library].append(libraries[library].fit(**request, seed=seed))
                time.sleep(0.2)  # until the threads of the one have stopped spinning
    finally:
        for library in libraries.values():
            library.close()
    theirs, ours = answers["sklearn"], answers["chainrule"]
    pairs = list(zip(theirs, ours, strict=True))
    return {
        "set": name,
        "threads": threads,
        "dtype": dtype,
        "answers": answers,
        "ratio": statistics.median(t["seconds"] / o["seconds"] for t, o in pairs),
        "ratio_per_epoch": statistics.median(
            t["seconds"] / t["epochs"] * o["epochs"] / o["seconds"] for t, o in pairs
        ),
    }


def _mean_and_error(answers):
    scores = [answer["score"] for answer in answers]
    return statistics.mean(scores), statistics.stdev(scores) / len(scores) ** 0.5


def show(result):
    """Print a row of the table."""
    theirs, ours = (_mean_and_error(result["answers"][name]) for name in _LIBRARIES)
    seconds = [
        statistics.median(a["seconds"] for a in result["answers"][name]) for name in _LIBRARIES
    ]
    print(
        f"| {result['set']} | {result['dtype']} | {result['threads']} "
        f"| {theirs[0]:.4f} ± {theirs[1]:.4f} | {ours[0]:.4f} ± {ours[1]:.4f} "
        f"| {seconds[0] * 1e3:.0f} | {seconds[1] * 1e3:.0f} "
        f"| {result['ratio']:.1f} | {result['ratio_per_epoch']:.1f} |",
        flush=True,
    )


def recipe(folder, threads, seed=0):
    """Train to a test accuracy of 0.90 on Fashion-MNIST; return accuracy and seconds of the fit."""
    import chainrule as cr
    from chainrule.estimators import MLPClassifier

    X, X_test, y, y_test = fashion(folder)
    model = MLPClassifier(
        (512, 256),
        batch_size=256,
        max_iter=40,
        n_iter_no_change=np.inf,
        optimizer=cr.AdamW(cr.OneCycle(2e-3), weight_decay=0.05),
        dropout=0.2,
        n_threads=threads,
        random_state=seed,
    )
    start = time.perf_counter()
    model.fit(X, y)
    return model.score(X_test, y_test), time.perf_counter() - start


def main():
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="benchmarks.estimators", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sets", default="digits,cancer,wine,diabetes")
    parser.add_argument("--seeds", type=int, help="by default 10, of Fashion-MNIST 3")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--dtype", default="float64", choices=["float32", "float64"])
    parser.add_argument("--fashion", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--recipe", action="store_true")
    parser.add_argument("--worker", choices=_LIBRARIES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker)
        return
    threads = [int(count) for count in arguments.threads.split(",")]
    if arguments.recipe:
        accuracy, seconds = recipe(arguments.fashion, threads[-1])
        print(f"test accuracy {accuracy:.4f} after {seconds:.1f} s on {threads[-1]} threads")
        return
    columns = "set", "dtype", "threads", "score sklearn", "score chainrule"
    columns += "ms sklearn", "ms chainrule", "times as fast", "by epoch"
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    results = []
    for name in arguments.sets.split(","):
        is_fashion = SETS[name][0] is None
        seeds = arguments.seeds or (3 if is_fashion else 10)
        dtype = "float32" if is_fashion else arguments.dtype
        for count in threads:
            results.append(compare(name, seeds, count, dtype, arguments.fashion))
            show(results[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
