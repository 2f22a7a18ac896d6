"""Tables for the tests of the command: real data with gaps and words, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn import datasets

FORMATS = ("csv", "tsv", "parquet", "feather", "arrows")


def cancer() -> pd.DataFrame:
    """Return breast cancer with a boolean, a category, a date, a key, and 5% of cells missing."""
    data: Any = datasets.load_breast_cancer(as_frame=True)
    frame: pd.DataFrame = data.frame.iloc[:, [0, 1, 6, 7, 20, 30]].copy()
    rng = np.random.default_rng(7)
    n = len(frame)
    frame.columns = pd.Index([*frame.columns[:5], "diagnosis"])
    frame["diagnosis"] = np.where(frame["diagnosis"] == 1, "benign", "malignant")
    frame.insert(0, "patient", [f"patient {i:04}" for i in rng.permutation(n)])
    frame["smokes"] = rng.random(n) < 0.3
    frame["clinic"] = rng.choice(["Bonn", "Ulm & Neu-Ulm", "<b>Köln</b>"], n)
    days = pd.Timestamp("2019-03-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    frame["visit"] = days
    for name in ("mean radius", "clinic", "visit", "diagnosis"):
        frame.loc[rng.random(n) < 0.05, name] = None
    return frame


def diabetes() -> pd.DataFrame:
    """Return diabetes: ten numbers, and the progress of the disease in a year."""
    data: Any = datasets.load_diabetes(as_frame=True, scaled=False)
    frame: pd.DataFrame = data.frame.rename(columns={"target": "progress"})
    return frame


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table in the format that the name ends in; arrows is a stream."""
    kind = path.suffix[1:]
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=100)
    else:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        new = pa.ipc.new_stream if kind == "arrows" else pa.ipc.new_file
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    return path
