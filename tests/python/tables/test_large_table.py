"""A table of 5 million rows and 20 columns trains, and is predicted, within 4 GiB of memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

N_ROWS = 5_000_000
N_COLUMNS = 20
LIMIT = 4 * 2**30


def write_table(path: Path, n_rows: int) -> None:
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 250_000):
        n = min(250_000, n_rows - start)
        frame = pd.DataFrame(rng.normal(size=(n, N_COLUMNS - 4)).round(4)).add_prefix("x")
        frame["count"] = rng.integers(0, 1000, n)
        frame["region"] = rng.choice(["north", "south", "east", "west"], n)
        frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, n), "D")
        frame.loc[rng.random(n) < 0.01, "x3"] = np.nan
        noise = rng.normal(0, 0.3, n)
        frame["y"] = (2 * frame["x0"] + np.sin(frame["x1"]) * frame["x2"] + noise).round(4)
        frame.to_csv(path, index=False, mode="w" if start == 0 else "a", header=start == 0)


def peak_memory(*arguments: str, cwd: Path) -> int:
    """Run the command; return the greatest resident size of that process alone, in bytes."""
    command = [sys.executable, "-m", "chainrule", *arguments]
    here = os.getcwd()
    os.chdir(cwd)
    try:
        child = os.posix_spawn(sys.executable, command, os.environ)
    finally:
        os.chdir(here)
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if os.name == "posix":

    @pytest.mark.slow
    def test_large_table(tmp_path: Path) -> None:
        write_table(tmp_path / "big.csv", N_ROWS)
        options = ("--target", "y", "--epochs", "2", "--quiet")
        trained = peak_memory("train", "big.csv", *options, cwd=tmp_path)
        predicted = peak_memory(
            "predict", "big.safetensors", "big.csv", "--output", "p.csv", cwd=tmp_path
        )
        evaluated = peak_memory(
            "evaluate", "big.safetensors", "big.csv", "--json", "s.json", cwd=tmp_path
        )
        print([f"{size / 2**30:.2f} GiB" for size in (trained, predicted, evaluated)])
        assert max(trained, predicted, evaluated) < LIMIT
        with open(tmp_path / "p.csv") as file:
            assert sum(1 for _ in file) == N_ROWS + 1
