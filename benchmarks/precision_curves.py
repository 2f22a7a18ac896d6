"""Training curves in every precision, beside how far the seeds of float32 lie apart.

    python -m benchmarks.precision_curves --json R.json --table R.md --chart docs/precision.png
    python -m benchmarks.precision_curves --cases rl,deep --seeds 2        # some of them
    python -m benchmarks.precision_curves --cases none --add R.json --chart F.png   # drawn again

The eight shapes of ``workloads/training_step/shapes.py`` on their data, and 784-256-128-10 for two
epochs of Fashion-MNIST (Debian's dataset-fashion-mnist, or four IDX files in the folder that
--fashion names). A seed gives the initial weights and the order of the rows, the same ones to every
precision; all are trained with Adam. What is compared in the end is the mean loss over all rows, of
Fashion-MNIST over the test images. "auto" is no curve of its own: each layer is float32 or bf16x6.

A difference is told in standard deviations of float32's seeds. Where a training amplifies rounding
until two runs from one seed have little in common, it is chance. "float32, nudged" shows that:
float32 from weights that are larger by one part in 2^23. The wide shapes take few steps and seeds,
for without bf16 tiles bf16x6 multiplies several times more slowly than float32.
"""

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import chainrule as cr

from . import machine
from .estimators import FOLDER, fashion
from .workloads.training_step.shapes import LEARNING_RATE, SHAPES, make_data

PRECISIONS = ("float32", "bf16x6", "bf16x3", "bf16")
NUDGED = "float32, nudged"
RUNS = (*PRECISIONS, NUDGED)
AS_GOOD = ("bf16x6", "bf16x3")  # which must end within the spread of float32
MOST_POINTS = 60  # of a curve


@dataclass(frozen=True)
class Case:
    """One network, how many steps it is trained, and from how many seeds."""

    name: str
    widths: tuple[int, ...]
    activation: str
    loss: str
    batch_size: int
    steps: int
    seeds: int


_EXTENT = {  # steps, seeds
    "rl": (1024, 6),
    "tabular": (960, 6),
    "digits": (900, 6),
    "mnist": (640, 5),
    "deep": (100, 16),  # whose runs part soon, nudged or not
    "mid": (60, 5),
    "wide": (12, 3),
    "huge": (4, 3),
}
CASES = {
    name: Case(name, shape.widths, shape.activation, shape.loss, shape.batch_size, *_EXTENT[name])
    for name, shape in SHAPES.items()
} | {
    "fashion": Case("fashion", (784, 256, 128, 10), "relu", "cross_entropy", 128, 2 * 469, 3),
}


def data_of(case: Case, folder: Path) -> tuple[np.ndarray, ...]:
    """Return what is trained on and what is evaluated in the end: X, y, X, y."""
    if case.name == "fashion":
        X, X_test, y, y_test = fashion(folder)
        return X, y, X_test, y_test
    X, y = make_data(SHAPES[case.name])
    return X, y, X, y


def train(case: Case, data: tuple[np.ndarray, ...], precision: str, seed: int) -> dict:
    """Train one network; return the means of its losses over blocks of steps, and the last loss.

    `precision` is one of RUNS.
    """
    X, y, *rows = data
    nudged = precision == NUDGED
    model = cr.MLP(list(case.widths), activation=case.activation, seed=seed)
    model.precision = "float32" if nudged else precision
    if nudged:
        model.parameters[:] *= np.float32(1 + 2**-23)
    trainer = cr.Trainer(model, loss=case.loss, optimizer=cr.Adam(LEARNING_RATE))
    generator = np.random.default_rng(seed)
    losses: list[float] = []
    while len(losses) < case.steps:
        order = generator.permutation(len(X))
        n_batches = -(-len(X) // case.batch_size)
        for batch in range(min(n_batches, case.steps - len(losses))):
            chosen = order[batch * case.batch_size : (batch + 1) * case.batch_size]
            losses.append(trainer.step(X[chosen], y[chosen]))
    blocks = np.array_split(losses, min(MOST_POINTS, case.steps))
    return {
        "precision": precision,
        "seed": seed,
        "curve": [float(f"{block.mean():.7g}") for block in blocks],
        "final": model.evaluate(*rows, loss=case.loss).loss,
    }


def measure(case: Case, folder: Path) -> dict:
    """Train from every seed in every precision."""
    data = data_of(case, folder)
    runs = []
    for seed in range(case.seeds):
        for precision in RUNS:
            runs.append(train(case, data, precision, seed))
            print(f"{case.name}, seed {seed}, {precision}: {runs[-1]['final']:.7g}", flush=True)
    return asdict(case) | {"runs": runs}


def finals(result: dict, precision: str) -> list[float]:
    """Return the last losses, by seed."""
    return [run["final"] for run in result["runs"] if run["precision"] == precision]


def differences(result: dict, precision: str) -> tuple[float, float]:
    """Return how far a precision ends from float32, in standard deviations of float32's seeds.

    First the means of all seeds, then the largest distance of two runs from one seed.
    """
    reached, usual = finals(result, precision), finals(result, "float32")
    spread = statistics.stdev(usual)
    of_a_seed = [abs(a - b) for a, b in zip(reached, usual, strict=True)]
    mean = statistics.fmean(reached) - statistics.fmean(usual)
    return mean / spread, max(of_a_seed) / spread


def table(report: dict) -> str:
    """Lay out the last losses, then the verdict."""
    rows = ["| case | steps | seeds | float32 | " + " | ".join(RUNS[1:]) + " |"]
    rows.append("|" + " --- |" * (3 + len(RUNS)))
    beyond = []
    for result in report["results"]:
        usual = finals(result, "float32")
        cells = [result["name"], str(result["steps"]), str(result["seeds"])]
        cells.append(f"{statistics.fmean(usual):.5g} (deviation {statistics.stdev(usual):.2g})")
        for precision in RUNS[1:]:
            mean, of_a_seed = differences(result, precision)
            cells.append(f"{mean:+.3f} (at most {of_a_seed:.3f})")
            if precision in AS_GOOD and abs(mean) > 1:
                beyond.append(f"{precision} on {result['name']} ({mean:+.2f})")
        rows.append(f"| {' | '.join(cells)} |")
    verdict = f"{' and '.join(AS_GOOD)} end within the seed-to-seed deviation of float32"
    if beyond:
        verdict = f"beyond the seed-to-seed deviation of float32: {', '.join(beyond)}"
    return "\n".join([*rows, "", f"{verdict[0].upper()}{verdict[1:]}."])


def page(report: dict) -> str:
    """Return the table with what a reader must know."""
    place = report["machine"]
    tiles = "bf16 tiles" if report["bf16_tiles"] else "no bf16 tiles; the bits are the same"
    return f"""# Training curves by precision, {place["date"][:10]}

`python -m benchmarks.precision_curves`: {place["cpu"]}, variant {report["variant"]} ({tiles}),
chainrule {report["version"]}. Adam with a learning rate of {LEARNING_RATE:g}; a seed gives initial
weights and order of rows. Under a precision: how far the mean of the final losses over the seeds
lies from float32's, in standard deviations of float32's seeds (above 0: worse); in parentheses the
largest difference of two runs from one seed, in the same unit. Nudged: float32 from weights that
are larger by one part in 2^23, so that what it shows is chance.

{table(report)}
"""


def names(text: str) -> list[str]:
    """Read the argument of --cases."""
    chosen = [] if text == "none" else text.split(",")
    for name in chosen:
        if name not in CASES:
            raise argparse.ArgumentTypeError(f"{name!r}: expected some of {', '.join(CASES)}")
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Train, print, keep, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision_curves")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cases", type=names, default=list(CASES), metavar="NAMES")
    parser.add_argument("--steps", type=int, help="of every case, at most")
    parser.add_argument("--seeds", type=int, help="of every case; 2 at least")
    parser.add_argument("--fashion", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="results kept before")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    parser.add_argument("--chart", type=Path, help="PNG file to write")
    options = parser.parse_args(arguments)
    results = {}
    for path in options.add:
        for result in json.loads(path.read_text(encoding="utf-8"))["results"]:
            results[result["name"]] = result
    for name in options.cases:
        case = CASES[name]
        extent = (min(case.steps, options.steps or case.steps), options.seeds or case.seeds)
        case = Case(*list(asdict(case).values())[:-2], *extent)
        results[name] = measure(case, options.fashion)
    report = {
        "machine": machine.describe(),
        "version": cr.__version__,
        "variant": cr.runtime.active_variant(),
        "bf16_tiles": cr.runtime.has_bf16_tiles(),
        "results": [results[name] for name in CASES if name in results],
    }
    print(table(report))
    for path, text in ((options.json, json.dumps(report) + "\n"), (options.table, page(report))):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if options.chart:
        from .precision_chart import draw

        draw(report, options.chart)


if __name__ == "__main__":
    main()
