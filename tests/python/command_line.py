"""Runs the command `chainrule` and reads what it printed; for the tests of the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sklearn import datasets


def run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def fields(output: str) -> dict[str, str]:
    """Return label and text of the lines that were printed; wrapped lines are joined."""
    found: dict[str, str] = {}
    label = ""
    for line in output.splitlines():
        if line[:20].strip():
            label = line[:20].strip()
            found[label] = line[20:]
        elif line.strip():
            found[label] += " " + line.strip()
    return found


def number(text: str) -> float:
    """Return the number that a text starts with."""
    match = re.match(r"-?[\d.]+", text)
    assert match
    return float(match[0])


def write_csv(path: Path, name: str, text_labels: bool = False) -> Path:
    """Write one of scikit-learn's data sets with the target in the last column."""
    data: Any = getattr(datasets, f"load_{name}")()
    names = [str(feature).replace(",", " ") for feature in data.feature_names]
    target = [str(data.target_names[k]) if text_labels else f"{k:g}" for k in data.target]
    with path.open("w") as file:
        print(*names, "target", sep=",", file=file)
        for row, label in zip(data.data, target, strict=True):
            print(*(f"{value:.10g}" for value in row), label, sep=",", file=file)
    return path
